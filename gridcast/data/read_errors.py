"""Which file an error comes from, for whoever has a thousand of them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any


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
