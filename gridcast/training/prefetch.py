"""Run an iterator ahead of whoever consumes it, in a thread that ends with them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1  # how soon a thread sees that nobody reads on
LEAVE_SECONDS = 1.0  # a read that is slow ends by itself: whoever pressed Ctrl-C does not wait for it


def run_ahead(items: Generator[T], depth: int) -> Generator[T]:
    """Yield `items`, prepared by a thread up to `depth` ahead.

    An error in the thread is raised here. Closing the generator (``contextlib.closing``), an error in the consumer or
    the end of `items` ends the thread, which may be busy with its last item a while longer.

    Parameters
    ----------
    items : generator
        Only used in the thread from here on.
    depth : int
        Items that may wait.
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: Any) -> None:
        while not stop.is_set():
            try:
                return waiting.put((kind, value), timeout=POLL_SECONDS)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put("item", item)
                if stop.is_set():
                    break
            put("end", None)
        except BaseException as error:  # whatever it is, it belongs to the consumer
            put("error", error)
        finally:
            items.close()

    thread = threading.Thread(target=work, name="gridcast-reader", daemon=True)
    thread.start()
    try:
        while True:
            try:
                # not for ever: some systems answer no Ctrl-C before a wait ends
                kind, value = waiting.get(timeout=LEAVE_SECONDS)
            except queue.Empty:
                continue
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join(LEAVE_SECONDS)
