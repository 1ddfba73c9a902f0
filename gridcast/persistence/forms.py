"""The forms in which gridcast's own objects are saved; see `gridcast.persistence.encoding`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import xarray as xr

from gridcast.data.calendars import Calendar, Kind, Rounding
from gridcast.data.grid import Grid
from gridcast.data.statistics import FieldStatistics
from gridcast.data.times import as_index
from gridcast.persistence.encoding import Attributes, Form, check_variables, variables_of
from gridcast.transformers.anomaly import Anomaly
from gridcast.transformers.channels import ChannelTransformer
from gridcast.transformers.log import LogTransformer
from gridcast.transformers.minmax import MinMaxTransformer
from gridcast.transformers.scaling import OURS

# of the CF conventions, as cftime names them
CALENDARS = "standard gregorian proleptic_gregorian julian noleap 365_day all_leap 366_day 360_day"
CALENDAR_FIELDS = tuple(field.name for field in dataclasses.fields(Calendar))
AXES = ("datetime64", "number", *CALENDARS.split())  # what `Calendar.axis` may be
# what the transformers of channels learn
SCALED = ("data_min_", "data_max_")
LOG = (*SCALED, "bound_", "offset_")
LABELS, UNITS = "channels_", "units_"  # that those inside of a forecaster do not have
STATE_WORDS = 624  # of the Mersenne twister


def check(value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """Return `value`; raise a ValueError unless it is of this kind (an integer is no bool)."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise ValueError(f"{what} is a {type(value).__name__}, expected {names}")
    return value


def take(learned: dict[str, Any], *names: str) -> list[Any]:
    """Take values out of `learned`; raise a ValueError that names those it lacks."""
    if lacking := [name for name in names if name not in learned]:
        raise ValueError(f"learned lacks {lacking}")
    return [learned.pop(name) for name in names]


def check_array(value: Any, shape: tuple[int | None, ...], what: str, kind: str = "f") -> np.ndarray:
    """Return an array of numbers; raise a ValueError unless it has this shape (None: any size) and kind of type."""
    check(value, np.ndarray, what)
    fits = len(value.shape) == len(shape) and all(n in (None, m) for n, m in zip(shape, value.shape, strict=True))
    if not fits or value.dtype.kind not in kind:
        wanted = tuple("any" if n is None else n for n in shape)
        raise ValueError(f"{what} has the shape {value.shape} and type {value.dtype}, expected {wanted} of kind {kind}")
    return value


def check_transformer(value: Any, shape: tuple[int, int, int], what: str) -> None:
    """Raise a ValueError unless `value` is a transformer that was fitted on fields of this shape."""
    if isinstance(check(value, OURS, what), Anomaly):
        check_array(vars(value).get("cycle_"), (None, *shape), f"{what}/cycle_")
    else:
        check_array(vars(value).get("data_min_"), shape[:1], f"{what}/data_min_", "iuf")


def _grid(dims: Any, shape: Any, coords: Any, name: Any, attrs: Any) -> Grid:
    check(dims, tuple, "dims")
    check(shape, tuple, "shape")
    if len(shape) != 3 or not all(type(n) is int and n >= 1 for n in shape):
        raise ValueError(f"shape={shape!r} is not (channel, y, x) of at least 1 each")
    if len(dims) not in (2, 3) or len(set(dims)) < len(dims) or (len(dims) == 2 and shape[0] != 1):
        raise ValueError(f"dims={dims!r} do not name a field of shape {shape}")
    box = xr.Dataset(coords=check_variables(coords))  # xarray checks that the coordinates fit each other
    sizes = dict(zip(dims, shape[-len(dims) :], strict=True))
    for dim, size in box.sizes.items():
        if sizes.get(dim) != size:
            raise ValueError(f"a coordinate has {size} entries along {dim!r}, the field {sizes.get(dim)}")
    return Grid(dims, shape, {c: box[c] for c in box.coords}, name, check(attrs, dict, "attrs"))


def _calendar(
    kind: Any, step: Any, axis: Any, anchor: Any, offset: Any, span: Any, rounding: Any, starts: Any, origin: Any,
    denominator: Any, decimals: Any, alternatives: Any,
) -> Calendar:  # fmt: skip
    if kind not in get_args(Kind) or axis not in AXES or rounding not in get_args(Rounding):
        raise ValueError(f"kind={kind!r} or axis={axis!r} is unknown")
    if not (math.isfinite(check(step, (int, float), "step")) and step > 0):
        raise ValueError(f"step={step!r} must be positive")
    if not (1 <= check(span, int, "span") <= 12 and check(denominator, int, "denominator") >= 0):
        raise ValueError(f"span={span!r} or denominator={denominator!r} is out of range")
    if decimals is not None and not 0 <= check(decimals, int, "decimals") <= 15:
        raise ValueError(f"decimals={decimals!r} is out of range")
    starts = tuple(check(start, int, "starts") for start in check(starts, tuple, "starts"))
    if kind.startswith("within") != bool(starts):
        raise ValueError(f"starts={starts!r} do not fit kind={kind!r}")
    further = tuple(
        _calendar(*check(rule, tuple, "alternatives")) for rule in check(alternatives, tuple, "alternatives")
    )
    return Calendar(
        kind, step, axis, check(anchor, (int, float), "anchor"), check(offset, int, "offset"), span, rounding, starts,
        check(origin, (int, float), "origin"), denominator, decimals, further,
    )  # fmt: skip


def _statistics(
    mean: Any, std: Any, observed: Any, complete: Any, low: Any, high: Any, missing: Any
) -> FieldStatistics:
    shape = check_array(mean, (None, None, None), "mean").shape  # (channel, y, x)
    return FieldStatistics(
        mean,
        check_array(std, shape, "std"),
        check_array(observed, shape, "observed", "b"),
        check(complete, bool, "complete"),
        check_array(low, shape[:1], "low"),
        check_array(high, shape[:1], "high"),
        float(check(missing, (int, float), "missing")),
    )


def _check_channels(transformer: ChannelTransformer, *learned: str) -> None:
    """Raise a ValueError unless the feature range has a width and what was learned is one number for each channel."""
    shape: tuple[int | None, ...] = (None,)
    for name in learned:
        shape = check_array(getattr(transformer, name), shape, name, "iuf").shape
    labels = check(vars(transformer).get(LABELS), (xr.DataArray, type(None)), LABELS)
    if labels is not None and labels.shape != shape:
        raise ValueError(f"{LABELS} has the shape {labels.shape}, expected {shape}")
    check(vars(transformer).get(UNITS), (str, type(None)), UNITS)
    low, high = transformer.feature_range
    if not low < high:
        raise ValueError(f"feature_range={transformer.feature_range!r} has no width")


def _check_scaled(transformer: MinMaxTransformer) -> None:
    _check_channels(transformer, *SCALED)
    if not (transformer.data_min_ < transformer.data_max_).all():
        raise ValueError("the data range has no width")


def _check_log(transformer: LogTransformer) -> None:
    _check_channels(transformer, *LOG)
    learned = [getattr(transformer, name) for name in LOG]
    if not (np.isfinite(learned).all() and (transformer.offset_ > 0).all()):
        raise ValueError("the data range, the bound or the offset is not finite, or the offset is not positive")
    if not (transformer.data_min_ <= transformer.data_max_).all():
        raise ValueError("the data range ends before it begins")


def _check_cycle(anomaly: Anomaly) -> None:
    check(anomaly.n_phases_, int, "n_phases_")
    check(anomaly.calendar_, (Calendar, type(None)), "calendar_")
    period = anomaly.period_
    if period not in ("year", "day") and (type(period) is not int or period != anomaly.n_phases_):
        raise ValueError(f"period_={period!r} is no period of {anomaly.n_phases_} steps")
    check_array(anomaly.cycle_, (anomaly.n_weights, None, None, None), "cycle_")
    # raises where the calendar has no such year
    anomaly.weights(as_index([anomaly.origin_]))


def _transformer_form(cls: type, learned: tuple[str, ...], check_learned: Callable[[Any], None], *also: str) -> Form:
    """Return the form of a transformer, fitted or not, with what it has `also` where it was fitted to labels."""

    def take_apart(transformer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        fitted = {name: getattr(transformer, name) for name in (*learned, *also) if hasattr(transformer, name)}
        return transformer.get_params(deep=False), fitted

    def put_together(parameters: Mapping[str, Any], fitted: Mapping[str, Any]) -> Any:
        transformer = cls(**parameters)
        if fitted:
            if set(fitted) - set(also) != set(learned):  # half a fit is none
                raise ValueError(f"it learned {sorted(fitted)}, expected {sorted(learned)}")
            vars(transformer).update(fitted)
            check_learned(transformer)
        return transformer

    return Form(cls, ("parameters", "learned"), take_apart, put_together)


def _random_state(key: Any, position: Any, has_gauss: Any, gauss: Any) -> np.random.RandomState:
    check_array(key, (STATE_WORDS,), "key", "u")
    if not 0 <= check(position, int, "position") <= STATE_WORDS or has_gauss not in (0, 1):
        raise ValueError(f"position={position!r} or has_gauss={has_gauss!r} is out of range")
    # with a seed: without one it would ask the system for entropy
    made = np.random.RandomState(0)
    made.set_state(("MT19937", key, position, has_gauss, float(gauss)))
    return made


def _take_random_state(random_state: np.random.RandomState) -> tuple[Any, ...]:
    name, *parts = random_state.get_state(legacy=True)
    if name != "MT19937":
        raise ValueError(f"random_state: a RandomState of {name} can not be saved, use one of MT19937 or an integer")
    return tuple(parts)


def _generator(state: Any, increment: Any, has_uint32: Any, uinteger: Any) -> np.random.Generator:
    made = np.random.default_rng(0)
    words = {"state": check(state, int, "state"), "inc": check(increment, int, "increment")}
    made.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": words,
        "has_uint32": int(has_uint32),
        "uinteger": int(uinteger),
    }
    return made


def _take_generator(generator: np.random.Generator) -> tuple[Any, ...]:
    state: Any = generator.bit_generator.state
    if state["bit_generator"] != "PCG64":
        raise ValueError(
            f"random_state: a Generator of {state['bit_generator']} can not be saved, use one of PCG64 or an integer"
        )
    return state["state"]["state"], state["state"]["inc"], state["has_uint32"], state["uinteger"]


FORMS = (
    Form(
        Grid,
        ("dims", "shape", "coords", "name", "attrs"),
        lambda g: (
            g.dims,
            tuple(map(int, g.shape)),
            variables_of(g.coords),
            g.name,
            Attributes(g.attrs),
        ),
        _grid,
    ),
    Form(Calendar, CALENDAR_FIELDS, dataclasses.astuple, _calendar),
    Form(
        FieldStatistics,
        tuple(field.name for field in dataclasses.fields(FieldStatistics)),
        lambda s: [getattr(s, field.name) for field in dataclasses.fields(s)],
        _statistics,
    ),
    _transformer_form(MinMaxTransformer, SCALED, _check_scaled, LABELS, UNITS),
    _transformer_form(Anomaly, ("calendar_", "period_", "origin_", "n_phases_", "year_", "cycle_"), _check_cycle),
    _transformer_form(LogTransformer, LOG, _check_log, LABELS, UNITS),
    Form(np.random.RandomState, ("key", "position", "has_gauss", "gauss"), _take_random_state, _random_state),
    Form(
        np.random.Generator,
        ("state", "increment", "has_uint32", "uinteger"),
        _take_generator,
        _generator,
    ),
)
