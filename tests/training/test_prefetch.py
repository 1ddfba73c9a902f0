"""A thread that reads ahead, and who does not wait for it."""

import signal
import threading
from contextlib import closing

import pytest

from gridcast.training.prefetch import run_ahead


class Slow:
    """Items of which the second comes only when it is let."""

    def __init__(self):
        self.let, self.ended = threading.Event(), False

    def __iter__(self):
        yield 1
        self.let.wait(60)
        self.ended = True
        yield 2


@pytest.fixture
def slow():
    slow = Slow()
    yield slow
    slow.let.set()


@pytest.fixture
def interrupts():
    """Let an interrupt raise, which a process that was started in the background may ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_items_come_in_order_and_an_error_in_their_place():
    def items():
        yield from range(5)
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(run_ahead(items(), 2))
    assert list(run_ahead((i for i in range(50)), 2)) == list(range(50))


def test_who_leaves_does_not_wait_for_a_slow_item(slow):
    with closing(run_ahead(iter(slow), 2)) as items:
        assert next(items) == 1
    assert not slow.ended


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the system has other signals")
@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_is_answered_while_a_slow_item_is_read(slow):
    main = threading.main_thread().ident
    timer = threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), closing(run_ahead(iter(slow), 2)) as items:
        list(items)
    assert not slow.ended
