"""Which file an error comes from, for whoever has a thousand of them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import dask.array as da
import numpy as np

MOST_NAMES = 3  # of files in a message


@contextmanager
def naming_the_file() -> Iterator[None]:
    """Add the name of the file that was being read to an error that passes through."""
    try:
        yield
    except Exception as error:
        name = _file_in(error.__traceback__)
        note = f"while reading {name}"
        if name is not None and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


def check_unchanged(block: np.ndarray, n_observed: np.ndarray, values: Any) -> None:
    """Raise an OSError if fewer values are observed than an earlier read of the same steps has counted.

    A chunk that is gone from a Zarr store reads as missing values, without an error.

    Parameters
    ----------
    block : ndarray, (..., channel, y, x)
        What was read.
    n_observed : ndarray of int, (...)
        What was counted.
    values : numpy or dask array
        Where it was read from.
    """
    n_now = np.isfinite(block).sum((-3, -2, -1))
    if (n_now < n_observed).any():
        names = " or ".join(files_behind(values)[:MOST_NAMES])
        raise OSError(
            f"X changed while it was read{f' from {names}' if names else ''}: a step has "
            f"{int((n_observed - n_now).max())} observed values fewer than in the first pass; check that all of its "
            "chunks are there and that nothing writes to it, or pass X.load()"
        )


def files_behind(values: Any) -> list[str]:
    """Return the files that a dask array is read from, by xarray."""
    found = []
    for part in values.dask.values() if isinstance(values, da.Array) else ():
        reader = getattr(part, "value", part)  # newer versions of dask wrap what stands in a graph
        # xarray's layers of indexing, around the array of the file
        while reader is not None:
            inner = getattr(reader, "_array", reader)
            found += [name for name in (_file_of(reader), _file_of(inner)) if name]
            reader = getattr(reader, "array", None) if type(reader).__module__.startswith("xarray.") else None
    return list(dict.fromkeys(found))


def _file_in(trace: TracebackType | None) -> str | None:
    """Return the file of the innermost frame of a reader: xarray's arrays and file managers, zarr's arrays."""
    names = (_file_of(frame.f_locals.get("self")) for frame, _ in traceback.walk_tb(trace))
    found = [name for name in names if name]
    return found[-1] if found else None


def _file_of(reader: Any) -> str | None:
    kind = type(reader)
    if kind.__module__.startswith("zarr."):
        path = getattr(reader, "store_path", None)
        return None if path is None else str(path)
    if not kind.__module__.startswith("xarray.backends."):
        return None
    store = getattr(reader, "datastore", reader)
    arguments = getattr(store, "_args", ())  # of a file manager: the path and how to open it
    name = getattr(store, "_filename", None) or next((a for a in arguments if isinstance(a, str)), None)
    return None if name is None else str(name)
