"""Which forecasters there are: what `gridcast.load` can open."""

from __future__ import annotations

import importlib
from typing import Any, TypeVar, dataclass_transform

from gridcast.data.parameters import parameter, parameters

T = TypeVar("T", bound=type)

# Where gridcast's own stand: imported for a file that needs one, so that a naive forecaster opens without torch.
HOMES = {
    "CNMMForecaster": "gridcast.forecasters.cnmm",
    "ConvLSTMForecaster": "gridcast.forecasters.convlstm",
    "DMMForecaster": "gridcast.forecasters.dmm",
    "LinearForecaster": "gridcast.forecasters.linear",
    "NaiveForecaster": "gridcast.forecasters.naive",
}
_REGISTERED: dict[str, type] = {}


@dataclass_transform(kw_only_default=True, field_specifiers=(parameter,))
def forecaster(cls: T) -> T:
    """Make a class a forecaster: give it its constructor, and let `gridcast.load` know it by its name.

    Parameters
    ----------
    cls : type
        A subclass of a forecaster, which declares its own parameters with `gridcast.forecasters.parameter`.

    Raises
    ------
    ValueError
        If a forecaster of another module has that name.
    """
    name = cls.__name__
    home = _REGISTERED[name].__module__ if name in _REGISTERED else HOMES.get(name, cls.__module__)
    if home != cls.__module__:
        raise ValueError(f"class {name}: {home} has a forecaster of that name, choose another one")
    _REGISTERED[name] = parameters(cls)
    return _REGISTERED[name]  # type: ignore[return-value]


def is_registered(cls: type) -> bool:
    """Whether `gridcast.load` can make an instance of this very class."""
    return _REGISTERED.get(cls.__name__) is cls


def find(name: Any) -> Any:
    """Return the class of this name; raise a ValueError where there is none."""
    if isinstance(name, str) and name not in _REGISTERED and name in HOMES:
        importlib.import_module(HOMES[name])
    if not isinstance(name, str) or name not in _REGISTERED:
        raise ValueError(
            f"class={name!r} is no forecaster that is known here: gridcast has {', '.join(sorted(HOMES))}; import the "
            "module that defines it first"
        )
    return _REGISTERED[name]
