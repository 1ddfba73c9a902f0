"""How many threads torch uses: as many as the work is worth and the machine has free."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

CELLS = 20_000  # of a batch, for each thread: with fewer, threads wait for each other longer than they work
MEASURED = 0.1  # seconds in which it is seen how busy the processors are

_lock = threading.Lock()
_inside: list[int] = []  # what is to be restored, once for each that is inside


@contextmanager
def threads(cells: int) -> Iterator[None]:
    """Let torch use the threads that batches of so many cells are worth, at most those that the user allows.

    Threads wait for each other at the end of every operation; where one of them has to share its processor, all of them
    wait for it. Outside the number is what it was; of several that are inside at once, the first decides.

    Parameters
    ----------
    cells : int
        Values of a channel in a batch.
    """
    before = torch.get_num_threads()
    n = _worth(cells, before)  # not under the lock: to measure takes a while
    with _lock:
        if not _inside:
            torch.set_num_threads(n)
        _inside.append(_inside[0] if _inside else before)
    try:
        yield
    finally:
        with _lock:
            before = _inside.pop()
            if not _inside:
                torch.set_num_threads(before)


def _worth(cells: int, most: int) -> int:
    n = max(1, min(most, cells // CELLS))
    # measured only where there is a choice
    return n if n == 1 else max(1, min(n, _free()))


def _free() -> int:
    """Return the number of processors that nobody uses now."""
    busy = psutil.cpu_percent(MEASURED, percpu=True)
    return round(sum(1 - share / 100 for share in busy))
