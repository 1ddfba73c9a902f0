"""What an import costs: heavy libraries come with the first name that needs them, no sooner."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import gridcast as gc

HEAVY = ("torch", "pyro", "lightning_fabric", "matplotlib", "scores", "distributed")
DATA = "import gridcast as gc\nx = gc.datasets.make_precipitation(n_times=80, shape=(4, 8), random_state=0)\n"
WITHOUT_HEAVY = {
    "import": "import gridcast",
    "naive forecast": DATA + "gc.NaiveForecaster().fit(x).predict(3)",
    "anomaly": DATA + "train, test = gc.train_test_split(x)\ngc.Anomaly().fit(train).transform(test)",
    "heat": "import gridcast as gc\ngc.datasets.make_heat(1, n_windows=1, window=3, shape=(8, 8), random_state=0)",
    "backtest": DATA + "gc.backtest(gc.NaiveForecaster().fit(x[:60]), x[60:], horizon=2)",
    "save and load": DATA
    + "import pathlib, tempfile\n"
    + "with tempfile.TemporaryDirectory() as folder:\n"
    + "    gc.NaiveForecaster().fit(x).save(pathlib.Path(folder) / 'naive')\n"
    + "    gc.load(pathlib.Path(folder) / 'naive').predict(2)",
    "callbacks": "import gridcast as gc\ngc.callbacks.CSVLogger('history.csv')",
}


def loaded_after(script: str) -> set[str]:
    """Return which of the heavy libraries a fresh process has imported after a script."""
    script += f"\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(Path(gc.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("script", WITHOUT_HEAVY.values(), ids=WITHOUT_HEAVY)
def test_what_needs_no_heavy_library_imports_none(script):
    assert loaded_after(script) == set()


def test_a_metric_imports_scores_alone_and_a_network_torch():
    assert loaded_after("import gridcast as gc\ngc.metrics.mse") == {"scores"}
    assert "torch" in loaded_after("import gridcast as gc\ngc.DMMForecaster")


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
