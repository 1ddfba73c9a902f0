"""What is no file of ours is a ValueError, whatever its bytes make of the reader."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

MOST_TEXT = 1500  # characters of a message: a hostile file may bring names of any length


@contextlib.contextmanager
def refusing(path: str | os.PathLike[str], problem: str) -> Iterator[None]:
    """Raise a short ValueError that names `path` and `problem` for any error within; one that names `path` stays.

    MemoryError, RecursionError and StopIteration are such errors too: the content asks for them.
    """
    start = f"path={shorten(os.fspath(path))!r} "
    try:
        yield
    except Exception as error:
        text = str(error)
        own = isinstance(error, ValueError) and text.startswith(start)
        if own and len(text) <= MOST_TEXT:
            raise
        text = text if own else f"{start}{problem} ({text or type(error).__name__})"
        # a cause is printed too, however long
        raise ValueError(shorten(text)) from (error if len(str(error)) <= MOST_TEXT else None)


def shorten(text: object) -> str:
    """Return a text without its middle where it is long."""
    whole = str(text)
    half = MOST_TEXT // 2
    return whole if len(whole) <= MOST_TEXT else f"{whole[: half - 5]} ... {whole[-half:]}"


def check_plain(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError for what exists and is no plain file: to open a pipe would wait for ever."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
            raise ValueError(f"path={os.fspath(path)!r} is {what}: give the name of a file")
