"""The Kalman limit against a filter with dense matrices, and the paper's window averages by hand."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import gridcast as gc

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "paper"


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a script of the folder."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def neighbours(rows, columns):
    """Return the matrix that averages the four neighbours of each cell, zero beyond the border."""
    a = np.zeros((rows * columns, rows * columns))
    for y in range(rows):
        for x in range(columns):
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < rows and 0 <= u < columns:
                    a[y * columns + x, v * columns + u] = 0.25
    return a


@pytest.mark.parametrize("filter_sd", [None, 1.0])
def test_oracle_is_the_kalman_filter_of_the_equation(load, filter_sd):
    rows, columns, sd = 4, 5, 10.0
    a = neighbours(rows, columns)
    step = a @ a @ a
    process = 9 * (np.eye(len(a)) + a @ a.T + a @ a @ (a @ a).T)
    noise = (filter_sd or sd) ** 2 * np.eye(len(a))
    x = np.zeros((3, 8, rows + 2, columns + 2), np.float32)
    x[..., 1:-1, 1:-1] = 100 * np.random.default_rng(0).random((3, 8, rows, columns))
    mean, variance = x[:, 0, 1:-1, 1:-1].reshape(3, -1).T, noise
    for t in range(1, 8):
        mean, variance = step @ mean, step @ variance @ step.T + process
        gain = variance @ np.linalg.inv(variance + noise)
        mean = mean + gain @ (x[:, t, 1:-1, 1:-1].reshape(3, -1).T - mean)
        variance = variance - gain @ variance
    forecast = load("oracle").KalmanOracle(sd, filter_sd, shape=(rows + 2, columns + 2)).multi_step(x, 4)
    for lead in range(4):
        mean, variance = step @ mean, step @ variance @ step.T + process
        got = forecast.mean[:, lead, 1:-1, 1:-1].reshape(3, -1).T
        np.testing.assert_allclose(got, mean, rtol=1e-3, atol=1e-2)
        sd_expected = np.sqrt(np.diag(variance) + sd**2).reshape(rows, columns)
        np.testing.assert_allclose(forecast.sd[lead, 1:-1, 1:-1], sd_expected, rtol=1e-6)


def test_one_step_forecasts_of_the_oracle_are_first_leads(load):
    oracle = load("oracle").KalmanOracle(1.0, shape=(6, 7))
    x = np.random.default_rng(1).random((2, 9, 6, 7)).astype(np.float32)
    one = oracle.one_step(x, context=5)
    for target in range(4):
        lead = oracle.multi_step(x[:, target : target + 5], 1)
        np.testing.assert_allclose(one.mean[:, target], lead.mean[:, 0], rtol=1e-4, atol=1e-5)


def test_crps_of_a_gaussian_by_hand(load):
    forecast = load("oracle").Forecast(np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1)))
    expected = 2 / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(forecast.crps(np.zeros((1, 1, 1, 1))), [expected])


def test_the_oracle_reaches_the_limit_of_the_heat_experiment(load):
    x = gc.datasets.make_heat(2, n_windows=10, random_state=0).values
    forecast = load("oracle").KalmanOracle(1.0).one_step(x)
    assert (2 / 1000) ** 2 * np.square(forecast.mean - x[:, 10:]).mean() == pytest.approx(0.51e-4, rel=0.03)


def test_windows_average_their_last_targets(load):
    last = load("evaluate").last_of_windows
    assert last(np.arange(20.0), 5) == np.arange(15, 20).mean()  # one window of 30 steps
    by_target = np.random.default_rng(2).random(23)  # four windows
    expected = np.mean([by_target[s + 10 : s + 20].mean() for s in range(4)])
    assert last(by_target, 10) == pytest.approx(expected)


@pytest.mark.slow
def test_the_cmap_experiment_on_a_file_of_the_same_format_and_again_from_where_it_stopped(load, tmp_path, monkeypatch):
    precip = gc.datasets.make_precipitation(n_times=240, shape=(18, 36), random_state=0)
    precip.rename("precip").to_netcdf(tmp_path / "precip.pentad.mean.nc")
    reproduce, out = load("reproduce"), tmp_path / "out"
    arguments = [
        "reproduce.py",
        "cmap",
        "--models",
        "naive,convlstm",
        "--scale",
        "smoke",
        "--seeds",
        "1",
        "--threads",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(out), "--data", str(tmp_path / "precip.pentad.mean.nc")])
    monkeypatch.setattr(reproduce.torch, "set_num_threads", lambda n: None)
    reproduce.main()
    results = json.loads((out / "results.json").read_text())
    assert set(results["runs"]) == {"naive/default/0", "convlstm/default/0"}
    scores = results["runs"]["convlstm/default/0"]["scores"]["test"]
    assert set(scores["one_step"]) == {"5", "10", "15", "20"}
    assert len(scores["multi_step"]) == 20
    assert np.isfinite([*scores["one_step"].values(), *scores["multi_step"], *scores["crps"]]).all()
    assert {path.name.split("_")[1] for path in out.glob("figure_*.png")} >= {"4", "6", "8", "10"}
    monkeypatch.setattr(reproduce, "run", lambda *_: pytest.fail("what is there is not run again"))
    reproduce.main()
    assert json.loads((out / "results.json").read_text())["runs"] == results["runs"]
