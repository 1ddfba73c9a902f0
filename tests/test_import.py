"""What an import costs: heavy libraries come with the first name that needs them, no sooner."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import gridcast as gc

HEAVY = ("torch", "pyro", "lightning_fabric", "matplotlib", "scores", "distributed")
WITHOUT_HEAVY = (
    "import gridcast as gc",
    "gc.callbacks.CSVLogger('history.csv')",
    "gc.datasets.make_heat(1, n_windows=1, window=3, shape=(8, 8), random_state=0)",
    "x = gc.datasets.make_precipitation(n_times=80, shape=(4, 8), random_state=0)",
    "naive = gc.NaiveForecaster().fit(x[:60]); naive.predict(3)",
    "gc.Anomaly().fit(x[:60]).transform(x[60:])",
    "gc.backtest(naive, x[60:], horizon=2)",
    "import pathlib, tempfile; folder = pathlib.Path(tempfile.mkdtemp())",
    "naive.save(folder / 'naive'); gc.load(folder / 'naive').predict(2)",
    "import shutil; shutil.rmtree(folder)",
)


def loaded_after(*lines: str) -> list[set[str]]:
    """Return which of the heavy libraries a fresh process has imported after each line."""
    tell = f"import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    script = "\n".join(f"{line}\n{tell}" for line in lines)
    environment = os.environ | {"PYTHONPATH": str(Path(gc.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_what_needs_no_heavy_library_imports_none():
    loaded = zip(WITHOUT_HEAVY, loaded_after(*WITHOUT_HEAVY), strict=True)
    assert [(line, heavy) for line, heavy in loaded if heavy] == []


def test_a_metric_imports_scores_alone_and_a_network_torch():
    _, with_scores, with_network = loaded_after("import gridcast as gc", "gc.metrics.mse", "gc.DMMForecaster")
    assert with_scores == {"scores"}
    assert "torch" in with_network


def test_every_public_name_is_there_and_no_other():
    assert dir(gc) == gc.__all__ == sorted(gc.__all__)
    assert {name for name in gc.__all__ if not hasattr(gc, name)} == set()
    star: dict = {}
    exec("from gridcast import *", star)
    assert set(gc.__all__) <= set(star)
    with pytest.raises(AttributeError, match="KalmanForecaster"):
        _ = gc.KalmanForecaster


def test_what_is_imported_on_first_use_can_be_pickled():
    for public in (gc.NaiveForecaster, gc.CNMMForecaster, gc.load, gc.backtest, gc.callbacks.CSVLogger):
        assert pickle.loads(pickle.dumps(public)) is public
