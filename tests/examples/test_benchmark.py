"""The peers and the scores of the benchmark, where the answer is known."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = ("peers", "ensembles")


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a script of the folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def series(values):
    return xr.DataArray(values, dims=("time", "y", "x"))


def test_a_calibrated_ensemble_scores_as_one(load):
    rng = np.random.default_rng(0)
    sd = rng.uniform(0.5, 3.0, size=(60, 2, 20, 20))
    truth, members = sd * rng.normal(size=sd.shape), sd * rng.normal(size=(20, *sd.shape))
    mean = np.zeros(sd.shape)
    found = load("ensembles").ensemble_scores(members, mean, truth, np.full(sd.shape[1:], 1.0), None)
    np.testing.assert_allclose(found["spread_skill"], 1.0, atol=0.02)
    np.testing.assert_allclose(found["fifths"], 1.0, atol=0.06)
    assert max(fifth[0] for fifth in found["fifths_plain"]) < 0.94
    np.testing.assert_allclose(found["slope"], 1.0, atol=0.05)
    np.testing.assert_allclose(found["coverage"]["0.5"], 0.5, atol=0.01)
    np.testing.assert_allclose(found["coverage"]["0.9"], 0.9, atol=0.01)
    # the mean over the spreads of the CRPS of a right Gaussian
    np.testing.assert_allclose(found["crps"], sd.mean() / np.sqrt(np.pi), rtol=0.02)
    assert "zeros" not in found


def test_the_gaussian_has_the_mean_and_the_held_out_spread(load):
    zero = np.zeros((3, 2, 4, 4))
    spread = np.full((2, 4, 4), [[[1.0]], [[2.0]]])
    found = load("ensembles").ensemble_scores(np.zeros((20, *zero.shape)), zero, zero, spread, 0.0)
    expected = (np.sqrt(2.0) - 1.0) / np.sqrt(np.pi)
    np.testing.assert_allclose(found["crps_gaussian"], [expected, 2.0 * expected])
    assert found["zeros"] == {"members": [1.0, 1.0], "truth": [1.0, 1.0]}
    # ties are shared among all ranks
    np.testing.assert_allclose(found["coverage"]["0.9"], 0.9)


def test_an_ensemble_without_spread_covers_nothing(load):
    truth = np.random.default_rng(0).normal(size=(50, 1, 10, 10))
    found = load("ensembles").ensemble_scores(
        np.zeros((20, *truth.shape)), 0 * truth, truth, np.ones((1, 10, 10)), None
    )
    # the end ranks lie beyond the interval but for what 90 % takes of them
    assert found["coverage"]["0.5"] == [0.0]
    assert found["spread_skill"] == [0.0]


@pytest.mark.parametrize("n_samples", [None, 3])
def test_forecasts_lie_where_the_truth_lies(load, n_samples):
    peers = load("peers")

    class Next(peers.Peer):
        n_before = 1

        def _learn(self, x):
            self.slope = 1.0

        def _continue(self, past, horizon):
            leads = np.arange(1, horizon + 1)[:, None, None]
            return past[:, 1:] + leads * (past[:, 1:] - past[:, :1])

    ramp = np.arange(12.0)[:, None, None] + np.zeros((12, 2, 3))
    x = series(ramp)
    if n_samples:
        x = xr.concat([k * x for k in range(n_samples)], "sample")
    forecast = Next(anomalies=False).fit(x).forecast(x, 3, 2)
    np.testing.assert_allclose(forecast, peers.following(x, 1, 3, 2))
    assert forecast.shape[-4:] == (4, 3, 2, 3)


def test_dmd_continues_waves(load):
    pytest.importorskip("pydmd")
    t, y, x = np.arange(150.0)[:, None, None], np.arange(5.0)[:, None], np.arange(6.0)
    waves = sum(np.cos(0.9 * k * t + k * x - 0.5 * k * y) for k in (1, 2, 3))
    dmd = load("peers").DMD(anomalies=False).fit(series(waves[:120]))
    forecast = dmd.forecast(series(waves[115:]), 20)
    np.testing.assert_allclose(forecast, load("peers").following(series(waves[115:]), 1, 20), atol=1e-6)
    assert dmd.rank in dmd.RANKS
