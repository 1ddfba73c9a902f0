"""Values of Python, numpy, pandas, cftime and xarray as what JSON can hold, beside arrays by name, and back.

What JSON knows stays as it is. All else becomes an object with a ``$type``, which a fixed table knows how to read: no
name of a file is ever imported.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cftime
import numpy as np
import pandas as pd
import xarray as xr

from gridcast.persistence.document import read_document

TYPE = "$type"  # no Python name: it can not be a keyword that is saved
NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # JSON has no such numbers
# units alone: numpy would also take multiples such as 25s
TIME_TYPE = re.compile(r"<[mM]8(\[(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?")
DATES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        cftime.datetime,
        cftime.DatetimeNoLeap,
        cftime.DatetimeAllLeap,
        cftime.Datetime360Day,
        cftime.DatetimeJulian,
        cftime.DatetimeGregorian,
        cftime.DatetimeProlepticGregorian,
    )
}
# positional, as cftime's classes take them
DATE_PARTS = ("year", "month", "day", "hour", "minute", "second", "microsecond")
# What is small in a file and large in memory (padded text, ranges) has so many bytes in all, besides a few for each of
# the file's own: an hourly axis of a century takes 7 MB, names of a million cells 40 MB
MOST_BYTES, BYTES_PER_BYTE = 2**27, 4
DATE_BYTES = 160  # of an object of cftime
# What the constructors of libraries raise for parts that do not fit
MISFITS = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Form:
    """How the objects of one class are taken apart into named values, and put together again.

    Parameters
    ----------
    cls : type
        Objects of subclasses are not of this form.
    parts : tuple of str
        The names.
    take_apart : callable
        Returns the values of an object, in the order of `parts`.
    put_together : callable
        Returns the object for values in that order; raises an error for values that make none.
    """

    cls: type
    parts: tuple[str, ...]
    take_apart: Callable[[Any], Iterable[Any]]
    put_together: Callable[..., Any]

    @property
    def name(self) -> str:
        """The ``$type`` of its objects."""
        return self.cls.__name__


class Attributes(dict[Any, Any]):
    """Notes about data: what can not be saved of them is left out."""


class Encoder:
    """Takes values apart; the arrays in them are collected in `arrays`, the names of attributes left out in `left_out`.

    Parameters
    ----------
    forms : iterable of Form
        Of further classes.
    """

    def __init__(self, forms: Iterable[Form] = ()) -> None:
        self.forms = {form.cls: form for form in (*FORMS, *forms)}
        self.arrays: dict[str, np.ndarray] = {}
        self.left_out: list[str] = []

    def encode(self, value: Any, where: str) -> Any:
        """Return `value` as JSON can hold it.

        Parameters
        ----------
        value : object
        where : str
            What it is, for errors and as the name of an array.

        Raises
        ------
        ValueError
            If there is no form for it; the message begins with `where`.
        """
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        # before int and float: np.float64 is a float, and would lose its type
        if isinstance(value, np.generic) and not isinstance(value, np.str_):
            return {TYPE: "scalar", "array": self._array(np.asarray(value), where)}
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, str):
            return str(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {TYPE: "float", "value": str(float(value))}
        if type(value) is list:  # exact types: a subclass means more than its items
            return [self.encode(item, f"{where}/{i}") for i, item in enumerate(value)]
        if type(value) is tuple:
            return {TYPE: "tuple", "items": self.encode(list(value), where)}
        if type(value) is Attributes:
            return self.encode(self._savable(value, where), where)
        if type(value) is dict:
            if all(type(key) is str for key in value) and TYPE not in value:
                return {key: self.encode(item, f"{where}/{key}") for key, item in value.items()}
            return {TYPE: "dict", "items": [self.encode(list(pair), f"{where}/{pair[0]}") for pair in value.items()]}
        form = self.forms.get(type(value))
        if form is None:
            raise ValueError(f"{where}: a {type(value).__name__} can not be saved")
        parts = zip(form.parts, form.take_apart(value), strict=True)
        return {TYPE: form.name} | {name: self.encode(part, f"{where}/{name}") for name, part in parts}

    def _savable(self, attributes: Attributes, where: str) -> dict[Any, Any]:
        kept = {}
        for name, value in attributes.items():
            try:
                trial = Encoder()
                trial.forms = self.forms
                # also that the document will be read
                read_document(json.dumps(trial.encode({name: value}, where)).encode())
                kept[name] = value
            except (ValueError, TypeError, RecursionError):
                self.left_out.append(f"{where}/{name}")
        return kept

    def _array(self, array: np.ndarray, where: str) -> dict[str, Any]:
        if array.dtype.kind == "T":  # text of any length, as pandas 3 labels what it concatenates
            array = array.astype(object)
        kind = array.dtype.kind
        if kind in "biuf" and array.dtype.itemsize <= 8:
            return {TYPE: "array", "name": self._keep(array, where)}
        if kind in "mM":
            plain = array.astype(array.dtype.newbyteorder("<"))  # one byte order in all files
            return {TYPE: "time", "dtype": plain.dtype.str, "name": self._keep(plain.view(np.int64), where)}
        items = array.ravel().tolist()
        if kind == "S":
            items = [item.decode("latin-1") for item in items]
        if kind in "US" or (kind == "O" and all(type(item) is str for item in items)):
            return {TYPE: "text", "kind": kind, "shape": list(array.shape), "items": items}
        if kind == "O" and items and type(items[0]) in DATES.values() and len({type(item) for item in items}) == 1:
            parts = np.array([[getattr(item, part) for part in DATE_PARTS] for item in items], dtype=np.int64)
            return {
                TYPE: "date",
                "class": type(items[0]).__name__,
                "calendar": items[0].calendar,
                "year_zero": bool(items[0].has_year_zero),
                "name": self._keep(parts.reshape(*array.shape, len(DATE_PARTS)), where),
            }
        what = f"an array of {array.dtype}" if kind != "O" else "an array of objects other than text or dates"
        raise ValueError(f"{where}: {what} can not be saved")

    def _keep(self, array: np.ndarray, where: str) -> str:
        name, n = where, 1
        while name in self.arrays:  # different keys may read alike as text
            n += 1
            name = f"{where} ({n})"
        self.arrays[name] = array
        return name


class Decoder:
    """Puts together what an `Encoder` took apart.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    forms : iterable of Form
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], forms: Iterable[Form] = ()) -> None:
        self.arrays, self.forms = dict(arrays), {form.name: form for form in (*FORMS, *forms)}
        self.bytes_left = MOST_BYTES + BYTES_PER_BYTE * sum(array.nbytes for array in self.arrays.values())
        self.leaves: dict[str, tuple[set[str], Callable[..., Any]]] = {
            "float": ({"value"}, lambda where, value: NON_FINITE[value]),
            "tuple": ({"items"}, lambda where, items: tuple(self.decode(_listed(items), where))),
            "dict": ({"items"}, lambda where, items: {key: item for key, item in self.decode(_listed(items), where)}),
            "scalar": ({"array"}, lambda where, array: self.decode(array, where)[()]),
            "array": ({"name"}, lambda where, name: self._take(name)),
            "time": ({"dtype", "name"}, self._time),
            "text": ({"kind", "shape", "items"}, self._text),
            "date": ({"class", "calendar", "year_zero", "name"}, self._date),
        }

    def decode(self, plain: Any, where: str) -> Any:
        """Return the value that `plain` stands for.

        Raises
        ------
        ValueError
            If it stands for none; the message begins with `where`.
        """
        if isinstance(plain, list):
            return [self.decode(item, f"{where}/{i}") for i, item in enumerate(plain)]
        if not isinstance(plain, dict):
            return plain
        if TYPE not in plain:
            return {key: self.decode(item, f"{where}/{key}") for key, item in plain.items()}
        name, parts = plain[TYPE], {key: item for key, item in plain.items() if key != TYPE}
        if not isinstance(name, str) or (name not in self.leaves and name not in self.forms):
            raise ValueError(f"{where}: {name!r} is no type that gridcast knows")
        form = self.forms.get(name)
        wanted = self.leaves[name][0] if form is None else set(form.parts)
        if set(parts) != wanted:
            raise ValueError(f"{where}: a {name} consists of {sorted(wanted)}, not of {sorted(parts)}")
        if form is None:
            make = self.leaves[name][1]
        else:
            parts = {part: self.decode(parts[part], f"{where}/{part}") for part in form.parts}
        try:
            made = make(where, **parts) if form is None else form.put_together(*parts.values())
            if isinstance(made, pd.RangeIndex):
                self._spend(8 * len(made))  # three numbers in the file
            return made
        except MISFITS as error:
            # an error from within names its place already
            if str(error).startswith(where):
                raise
            raise ValueError(f"{where}: this is no {name} ({error})") from error

    def check_all_used(self) -> None:
        """Raise a ValueError if an array belongs to nothing."""
        if self.arrays:
            raise ValueError(f"the arrays {sorted(self.arrays)} belong to nothing")

    def _spend(self, n_bytes: int) -> None:
        self.bytes_left -= n_bytes
        if self.bytes_left < 0:
            raise ValueError(
                f"what the file holds takes {-self.bytes_left} bytes more than {MOST_BYTES} and {BYTES_PER_BYTE} times "
                "its arrays, which no forecaster needs"
            )

    def _text(self, where: str, kind: Any, shape: Any, items: Any) -> np.ndarray:
        if kind not in ("U", "S", "O") or not all(type(item) is str for item in _listed(items)):
            raise ValueError("text was expected")
        if kind != "O":  # numpy gives every entry the length of the longest, with 4 bytes a character
            self._spend(4 * len(items) * max(map(len, items), default=0))
        entries = [item.encode("latin-1") for item in items] if kind == "S" else items
        return np.array(entries, dtype=kind).reshape([int(size) for size in _listed(shape)])

    def _take(self, name: Any) -> np.ndarray:
        if not isinstance(name, str) or name not in self.arrays:
            raise ValueError(f"the array {name!r} is missing or stands for two values")
        return self.arrays.pop(name)  # taken once: two values must not share an array

    def _time(self, where: str, dtype: Any, name: Any) -> np.ndarray:
        if not isinstance(dtype, str) or not TIME_TYPE.fullmatch(dtype):
            raise ValueError(f"{dtype!r} is no type of times")
        return self._integers(name).view(dtype)  # the same 64 bits: NaT stays NaT

    def _date(self, where: str, **parts: Any) -> np.ndarray:
        cls, calendar, year_zero = (parts[name] for name in ("class", "calendar", "year_zero"))
        rows = self._integers(parts["name"])
        if rows.ndim < 1 or rows.shape[-1] != len(DATE_PARTS):
            raise ValueError(f"the shape {rows.shape} is not that of dates")
        self._spend(DATE_BYTES * len(rows.reshape(-1, len(DATE_PARTS))))
        dates = np.empty(rows.shape[:-1], dtype=object)
        for index in np.ndindex(dates.shape):
            dates[index] = DATES[cls](*rows[index].tolist(), calendar=calendar, has_year_zero=year_zero)
        return dates

    def _integers(self, name: Any) -> np.ndarray:
        array = self._take(name)
        if array.dtype != np.int64:
            raise ValueError(f"times are int64, not {array.dtype}")
        return array


def _listed(items: Any) -> list[Any]:
    if not isinstance(items, list):
        raise ValueError(f"a list was expected, not {type(items).__name__}")
    return items


def _index(values: Any, name: Any, cls: type) -> Any:
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise ValueError("labels are an array of one dimension")
    index = cls(values, name=name)
    if type(index) is not cls:  # pandas chooses the class by the values
        raise ValueError(f"labels of {values.dtype} make no {cls.__name__}")
    return index


def _date_label(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or value.shape != (1,) or not isinstance(value[0], cftime.datetime):
        raise ValueError("a date was expected")
    return value[0]


def check_variables(variables: Any) -> dict[Any, Any]:
    """Return variables as ``{name: (dims, values, attrs)}``; raise a ValueError for what xarray may enlarge."""
    if not isinstance(variables, dict):
        raise ValueError(f"variables are a dict, not a {type(variables).__name__}")
    for name, parts in variables.items():
        if not isinstance(parts, tuple) or len(parts) != 3:
            raise ValueError(f"the variable {name!r} is not of (dims, values, attrs)")
        _check_dims(*parts[:2])
    return variables


def _check_dims(dims: Any, values: Any) -> None:
    # xarray would spread a scalar over the coordinates, and make a range an array
    is_array = isinstance(values, np.ndarray | np.generic)
    if not is_array or not isinstance(dims, tuple) or len(dims) != values.ndim:
        raise ValueError(f"the dimensions {dims!r} are not those of an array of the file")


def _dataarray(values: Any, coords: Any, dims: Any, name: Any, attrs: Any) -> xr.DataArray:
    _check_dims(dims, values)
    return xr.DataArray(values, check_variables(coords), dims, name, attrs)


def _dataset(variables: Any, coords: Any, attrs: Any) -> xr.Dataset:
    return xr.Dataset(check_variables(variables), check_variables(coords), attrs)


def variables_of(coords: Any) -> dict[Any, tuple[Any, Any, Any]]:
    """Return coordinates or variables as `check_variables` knows them."""
    return {name: (c.dims, c.values, Attributes(c.attrs)) for name, c in coords.items()}


def _range(start: Any, stop: Any, step: Any, name: Any) -> pd.RangeIndex:
    return pd.RangeIndex(start, stop, step, name=name)


FORMS = (
    Form(
        pd.DatetimeIndex,
        ("values", "name"),
        lambda i: (i.to_numpy(), i.name),
        lambda v, n: _index(v, n, pd.DatetimeIndex),
    ),
    Form(
        xr.CFTimeIndex, ("values", "name"), lambda i: (i.to_numpy(), i.name), lambda v, n: _index(v, n, xr.CFTimeIndex)
    ),
    Form(pd.Index, ("values", "name"), lambda i: (i.to_numpy(), i.name), lambda v, n: _index(v, n, pd.Index)),
    Form(pd.RangeIndex, ("start", "stop", "step", "name"), lambda i: (i.start, i.stop, i.step, i.name), _range),
    Form(pd.Timestamp, ("value",), lambda t: (t.to_datetime64(),), pd.Timestamp),
    *(Form(cls, ("value",), lambda t: (np.array([t], dtype=object),), _date_label) for cls in DATES.values()),
    Form(
        xr.DataArray,
        ("values", "coords", "dims", "name", "attrs"),
        lambda x: (x.values, variables_of(x.coords), x.dims, x.name, Attributes(x.attrs)),
        _dataarray,
    ),
    Form(
        xr.Dataset,
        ("variables", "coords", "attrs"),
        lambda x: (variables_of(x.data_vars), variables_of(x.coords), Attributes(x.attrs)),
        _dataset,
    ),
)
