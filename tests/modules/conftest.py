"""Fixtures of the tests of torch modules."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Draw from a seed in each test, and leave the global state as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield
