"""Fixtures of all tests."""

import os
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One process per core; torch reads this when it is first imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("gridcast", deadline=None, derandomize=True)
settings.load_profile("gridcast")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real files that lies beside the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real files are not here: no ../shared/data beside the project")
    return folder


def global_state() -> dict[str, bytes]:
    """Return what no call may change, of the libraries that are loaded, in a form that compares by value."""
    state: dict[str, object] = {"random": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        state["torch"] = torch.get_rng_state().numpy()
        state["torch default dtype"] = str(torch.get_default_dtype())
        state["torch deterministic"] = torch.are_deterministic_algorithms_enabled()
    if "pyro" in sys.modules:
        parameters = sys.modules["pyro"].get_param_store().items()
        state["pyro parameters"] = {name: value.detach().cpu().numpy() for name, value in parameters}
    return {name: pickle.dumps(value) for name, value in state.items()}


@pytest.fixture(autouse=True)
def global_state_is_untouched() -> Iterator[None]:
    """Fail a test after which a global random state or the Pyro parameter store is another one."""
    before = global_state()
    yield
    after = global_state()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"the test changed global state: {', '.join(changed)}"
