"""Files that are always whole: written beside their place and renamed."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for binary writing; at `path` is the old file until all is on disk, then the new one.

    Nothing changes at `path` where writing it fails. A link is followed. A file that stands there hands down its mode.
    What killed processes left of files that were to stand there is removed.

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
        remove_partials(target)
        with _claimed(partial):
            with partial.open("wb") as file:
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


def remove_partials(path: Path) -> None:
    """Remove what killed processes left of files that were to stand at `path`; what is being written stays."""
    if fcntl is None:
        return
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.partial"):
        # another writes it, or the folder can not be written
        with contextlib.suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


@contextlib.contextmanager
def _claimed(partial: Path) -> Iterator[None]:
    """Make a file that `remove_partials` leaves alone as long as this process lives."""
    if fcntl is None:
        yield
        return
    unclaimed = partial.with_suffix(".new")
    with unclaimed.open("xb") as file:
        # where a file system has no locks, nothing is removed
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unclaimed.rename(partial)
        yield
