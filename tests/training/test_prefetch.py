import signal
import threading
import time
from contextlib import closing

import pytest

from gridcast.training.prefetch import run_ahead


@pytest.fixture
def slow():
    """Return a generator whose second item comes at the end of the test."""
    end = threading.Event()

    def items():
        yield 1
        end.wait(60)
        yield 2

    yield items()
    end.set()


def test_items_come_in_order_and_an_error_in_their_place():
    def items():
        yield from range(5)
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(run_ahead(items(), 2))
    assert list(run_ahead((i for i in range(50)), 2)) == list(range(50))


def test_who_leaves_does_not_wait_for_a_slow_item(slow):
    with closing(run_ahead(slow, 2)) as items:
        assert next(items) == 1
        start = time.perf_counter()
    assert time.perf_counter() - start < 2


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the system has other signals")
def test_an_interrupt_is_answered_while_a_slow_item_is_read(slow):
    main = threading.main_thread().ident
    timer = threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT))
    start = time.perf_counter()
    timer.start()
    with pytest.raises(KeyboardInterrupt), closing(run_ahead(slow, 2)) as items:
        list(items)
    assert time.perf_counter() - start < 2
