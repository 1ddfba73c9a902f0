"""Threads that torch uses inside and after."""

import threading

import pytest
import torch

from gridcast.training import threads as module
from gridcast.training.threads import CELLS, threads


@pytest.fixture
def four(monkeypatch):
    """Allow four threads, on a machine that has as many free."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.setattr(module, "_free", lambda: 4)
    yield monkeypatch
    torch.set_num_threads(before)


@pytest.mark.parametrize(("cells", "n"), [(0, 1), (CELLS, 1), (2 * CELLS, 2), (4 * CELLS, 4), (10**9, 4)])
def test_as_many_as_the_cells_are_worth_and_the_user_allows(four, cells, n):
    with threads(cells):
        assert torch.get_num_threads() == n
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("free", "n"), [(0, 1), (2, 2), (64, 4)])
def test_no_more_than_are_free(four, free, n):
    four.setattr(module, "_free", lambda: free)
    with threads(10**9):
        assert torch.get_num_threads() == n


def test_an_error_inside_leaves_the_number_as_it_was(four):
    with pytest.raises(ValueError, match="inside"), threads(0):
        raise ValueError("inside")
    assert torch.get_num_threads() == 4


def test_one_that_ends_late_restores_what_was_there_before_the_first(four):
    entered, ended = threading.Event(), threading.Event()

    def first():
        with threads(0):
            entered.set()
            ended.wait(10)

    other = threading.Thread(target=first)
    other.start()
    entered.wait(10)
    with threads(10**9):
        ended.set()
        other.join()
        torch.set_num_threads(1)  # what the first one left here
    assert torch.get_num_threads() == 4


def test_what_is_free_is_at_most_what_there_is():
    assert 0 <= module._free() <= module.psutil.cpu_count()
