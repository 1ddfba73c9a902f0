"""The variables that a parameter holds, as arrays, a Dataset or a list of these."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import xarray as xr

NAMING = ("bounds", "climatology", "grid_mapping")  # attributes that name such variables, by the conventions of CF
ENDINGS = ("_bnds", "_bounds")


def each_of(parameter: str, given: Any, dims: Collection[Hashable]) -> list[Any]:
    """Return what is given one by one, without what a Dataset holds of bounds of cells and mappings of the grid.

    Parameters
    ----------
    parameter : str
        Its name.
    given : DataArray, Dataset, ndarray or sequence of these
    dims : collection of str
        Dimensions of the series. One of size 2 that is not among them is that of bounds.

    Raises
    ------
    ValueError
        If there is nothing.
    """
    found: list[Any] = []
    for one in given if isinstance(given, list | tuple) else [given]:
        found += _fields(one, dims) if isinstance(one, xr.Dataset) else [one]
    if not found:
        raise ValueError(f"{parameter} holds nothing: give a DataArray, or None for none")
    return found


@contextmanager
def naming_the_variable(one: Any) -> Iterator[None]:
    """Say in an error which of several variables it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if getattr(one, "name", None) is None:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{error} (the variable {one.name!r})") from error


def _fields(ds: xr.Dataset, dims: Collection[Hashable]) -> list[xr.DataArray]:
    notes = [variable.encoding | variable.attrs for variable in ds.variables.values()]
    named = {name for note in notes for key in NAMING for name in str(note.get(key, "")).replace(":", " ").split()}
    return [field for name, field in ds.data_vars.items() if name not in named and not _describes(field, dims)]


def _describes(field: xr.DataArray, dims: Collection[Hashable]) -> bool:
    has_pairs = any(size == 2 and dim not in dims for dim, size in field.sizes.items())
    return "grid_mapping_name" in field.attrs or (has_pairs and str(field.name).endswith(ENDINGS))
