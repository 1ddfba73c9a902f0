"""Files that are always whole: written beside their place and renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for binary writing; at `path` is the old file until all is on disk, then the new one.

    Nothing changes at `path` where writing it fails. A link is followed. A file that stands there hands down its mode.

    Parameters
    ----------
    path : str or path
        In a folder that exists.

    Yields
    ------
    file

    Raises
    ------
    OSError
        If the folder can not be written or has no space left; the message names it.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
    except OSError as error:
        way_out = f"free space in the folder {str(target.parent)!r}, allow writing there, or give another"
        # of the number Python makes the fitting class
        raise OSError(error.errno, f"{error.strerror or error}; {way_out}", os.fspath(path)) from error
    finally:
        # a folder that can not be written has no such file
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
