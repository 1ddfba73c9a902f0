"""Parameters said once: a dataclass field holds the default, the check and the words of each."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import itertools
import numbers
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import InvalidParameterError

Check = Callable[[str, Any], Any]
T = TypeVar("T", bound=type)
WIDTH = 116  # of a docstring's lines
AUTO = "auto"  # the value of a parameter that the data decide


def parameter(check: Check, kind: str, text: str, *, default: Any, kw_only: bool = True) -> Any:
    """Declare a parameter of a class that is decorated with `parameters`.

    Parameters
    ----------
    check : callable
        ``check(name, value)`` raises an error that names the parameter, the value and the way out.
    kind : str
        Type for the documentation, such as ``"int or None"``.
    text : str
        What it is, for the documentation.
    default : any
        It must be hashable, as the settings and transformers of gridcast are; of these each instance has its own.
    kw_only : bool
        Whether it is given by name alone.
    """
    metadata = {"check": check, "kind": kind, "text": text}
    return dataclasses.field(default=default, metadata=metadata, kw_only=kw_only)


@dataclass_transform(kw_only_default=True, field_specifiers=(parameter,))
def parameters(cls: T) -> T:
    """Give a class its constructor, and the section of its docstring, from the parameters that it declares.

    An unknown name is a TypeError that names the nearest right one.
    """
    made: Any = dataclasses.dataclass(kw_only=True, eq=False, repr=False)(cls)
    constructor = made.__init__

    @functools.wraps(constructor)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in fields:
                raise TypeError(f"{type(self).__name__} has no parameter {name!r}{hint(type(self), name)}")
        # what is given stays the very object, as scikit-learn asks
        own = {name: clone(default) for name, default in nested.items() if name not in kwargs}
        constructor(self, *args, **kwargs | own)

    fields = {f.name: f.default for f in dataclasses.fields(made)}
    nested = {name: default for name, default in fields.items() if hasattr(default, "get_params")}
    made.__init__ = __init__
    made.__doc__ = _documented(made)
    return made


class Parameters(BaseEstimator):
    """Base of what has parameters: `get_params` and `set_params` of scikit-learn, checks, and a short repr."""

    def set_params(self, **params: Any) -> Any:
        """Set parameters; a nested one (``transformer__data_range``) changes a copy, never what others share."""
        known = self.get_params(deep=False)
        for name in params:
            if name.partition("__")[0] not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}{hint(type(self), name)}")
        for name in {key.partition("__")[0] for key in params if "__" in key}:
            value = known[name]
            if not hasattr(value, "get_params"):
                raise ValueError(f"{name}={value!r} has no parameters of its own")
            setattr(self, name, type(value)(**value.get_params(deep=False)))
        return super().set_params(**params)

    def check_parameters(self) -> None:
        """Raise the error of the first parameter with an impossible value, those of nested objects included."""
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            f.metadata["check"](f.name, value)
            if isinstance(value, Parameters):
                value.check_parameters()

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        changed = [f"{name}={shown(value)}" for name, value in changed_parameters(self).items()]
        text = f"{type(self).__name__}({', '.join(changed)})"
        return text if len(text) <= N_CHAR_MAX else f"{text[: N_CHAR_MAX - 3]}..."


def defaults(cls: type) -> dict[str, Any]:
    """Return the default of each parameter of a class."""
    return {name: p.default for name, p in inspect.signature(cls).parameters.items()}


def changed_parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters that differ from the defaults of the class."""
    given, default = estimator.get_params(deep=False), defaults(type(estimator))
    return {name: value for name, value in given.items() if not same(value, default.get(name))}


def same(value: Any, default: Any) -> bool:
    """Whether two values of a parameter are alike; arrays are only if they are one object."""
    if hasattr(value, "get_params") or hasattr(default, "get_params"):
        return type(value) is type(default) and repr(value) == repr(default)
    if isinstance(value, list | tuple) and isinstance(default, list | tuple):
        return len(value) == len(default) and all(map(same, value, default))
    return bool(value is default or (np.isscalar(value) and np.isscalar(default) and value == default))


def shown(value: Any) -> str:
    """Return one line for a value; of an array its kind and sizes, never its numbers."""
    if isinstance(value, list | tuple):
        inside = ", ".join(map(shown, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    sizes = getattr(value, "sizes", None)
    if isinstance(sizes, Mapping):  # a DataArray or a Dataset
        return f"<{type(value).__name__} ({', '.join(f'{dim}: {n}' for dim, n in sizes.items())})>"
    if isinstance(value, np.ndarray):
        return f"<ndarray of {value.dtype}, shape {value.shape}>"
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return type(value).__name__
    return " ".join(repr(value).split())


def hint(cls: type, name: str) -> str:
    """Return what to write in the place of a parameter `name` that `cls` does not have."""
    own = defaults(cls)
    for outer, default in own.items():
        inner = defaults(type(default)) if hasattr(default, "get_params") else {}
        if name in inner:
            kind = type(default).__name__
            return f": it belongs to {outer}, {outer}=gridcast.{kind}({name}=...) or set_params({outer}__{name}=...)"
    nested = [f"{o}__{i}" for o, d in own.items() if hasattr(d, "get_params") for i in defaults(type(d))]
    near = difflib.get_close_matches(name, [*own, *nested], n=1, cutoff=0.6)
    return f": did you mean {near[0]!r}?" if near else f": it has {', '.join(own)}"


# Checks, called with the name and the value of a parameter


def whole(least: int = 1, *, none: bool = False) -> Check:
    """Check for an integer of at least `least`."""

    def check(name: str, value: Any) -> None:
        if none and value is None:
            return
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral) or value < least:
            raise InvalidParameterError(f"{name}={value!r} must be an integer of at least {least}")

    return check


def real(accepts: Callable[[Any], bool], what: str, *, none: bool = False) -> Check:
    """Check for a number that `accepts` takes; `what` says which those are."""

    def check(name: str, value: Any) -> None:
        if none and value is None:
            return
        if not isinstance(value, numbers.Real) or isinstance(value, bool | np.bool_):
            raise InvalidParameterError(f"{name}={value!r} must be a number")
        if not accepts(value):
            raise InvalidParameterError(f"{name}={value!r} must {what}")

    return check


def choice(*choices: Any) -> Check:
    """Check for one of some words."""

    def check(name: str, value: Any) -> None:
        if not any(value is c or (isinstance(value, str) and value == c) for c in choices):
            words = [f'"{c}"' if isinstance(c, str) else repr(c) for c in choices]
            raise InvalidParameterError(f"{name}={value!r} is unknown: use {', '.join(words[:-1])} or {words[-1]}")

    return check


def channels(name: str, value: Any) -> None:
    """Check for the channels of two layers."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InvalidParameterError(f"{name}={value!r} must be the channels of two layers")
    for part in value:
        whole()(name, part)


def flag(name: str, value: Any) -> None:
    """Check for True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidParameterError(f"{name}={value!r} must be True or False")


def anything(name: str, value: Any) -> None:
    """Check nothing: what reads the parameter says what it can not use."""


def _documented(cls: Any) -> str:
    """Return the docstring of a class with a section on its parameters, behind the text and before other sections."""
    section = ["Parameters", "----------"]
    for f in dataclasses.fields(cls):
        default = "" if f.default is dataclasses.MISSING else f", default={shown(f.default)}"
        section.append(f"{f.name} : {f.metadata['kind']}{default}")
        section += textwrap.wrap(f.metadata["text"], WIDTH, initial_indent="    ", subsequent_indent="    ")
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    titles = [i for i, (a, b) in enumerate(itertools.pairwise(lines)) if b and set(b) == {"-"} and len(a) == len(b)]
    before = titles[0] if titles else len(lines)
    return "\n".join(
        [*lines[:before], *([] if not lines[:before] or not lines[before - 1] else [""]), *section, "", *lines[before:]]
    )
