"""Measure what known errors of observations are worth, and whether faults of sensors are found.

``python examples/observations.py --threads 1 --out docs/results`` writes ``observations.json``; run again, it goes on
where it was stopped.

- ``turbulence``, ``heat``: forecasts one step ahead from fields whose noise is five times as large in half of the
  cells, with and without ``observation_error``; mean squared errors of the true fields.
- ``constant``: a model of clean fields that is told the noise of its observations, over one that was trained on such
  noise and is not told.
- ``faults``: on air temperature, a sensor that drifts and two fields that are swapped; the share that
  `log_likelihood` finds, in its mean over the drift or over the swapped field, with a limit that one in a hundred of
  such means without a fault is below.
- ``conditions``: on an autoregression of each cell, whose distribution given its third step ahead is known: how far the
  members of ``predict_samples(given=)`` move, and their spread, over what is exact.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from benchmark import COMMIT, open_series, read, write

import gridcast as gc

TIMES = 5.0  # the error in half of the cells, in units of that in the others
NOISE = 0.1  # standard deviations of the fields
DRIFT, LASTS, FALSE_ALARMS = 8, 20, 0.01  # standard deviations of a one-step error at its end; steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    path = arguments.out / "observations.json"
    results = read(path)
    parts: dict[str, Callable[[int], Any]] = {
        "turbulence": lambda seed: halves(*turbulence(seed), seed),
        "heat": lambda seed: halves(*heat(seed), seed),
        "constant": lambda seed: constant(*turbulence(seed), seed),
        "faults": faults,
        "conditions": conditions,
    }
    for seed, name in itertools.product(range(arguments.seeds), parts):
        if (key := f"{name}/{seed}") not in results:
            results[key] = parts[name](seed) | {"commit": COMMIT}
            write(path, results)
            print(key, results[key], flush=True)


def turbulence(seed: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Return simulations to train on and to test on."""
    fields = gc.datasets.make_turbulence(24, random_state=seed)
    return fields[:20], fields[20:]


def heat(seed: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Return simulations to train on and to test on."""
    fields = gc.datasets.make_heat(40, n_windows=1, window=30, shape=(32, 32), random_state=seed)
    return fields[:36], fields[36:]


def noisy(fields: xr.DataArray, error: xr.DataArray, seed: int) -> xr.DataArray:
    """Return fields with noise of a standard deviation."""
    draw = np.random.default_rng(seed).normal(size=fields.shape)
    return (fields + error * fields.copy(data=draw)).astype("float32")


def one_step(model: Any, given: xr.DataArray, truth: xr.DataArray, **options: Any) -> float:
    """Return the mean squared error one step ahead."""
    forecast = gc.backtest(model, given, 1, **options).isel(lead_time=0)
    later = truth.isel(time=slice(truth.sizes["time"] - forecast.sizes["init_time"], None))
    return float(np.square(forecast.values - later.values).mean())


def halves(train: xr.DataArray, test: xr.DataArray, seed: int) -> dict[str, float]:
    """Return errors with noise that differs between the halves of a field."""
    least = NOISE * float(train.std())
    error = xr.zeros_like(test[0, 0]).drop_vars("time") + least
    error[:, : error.shape[1] // 2] *= TIMES
    model = gc.LinearForecaster(random_state=0).fit(noisy(train, xr.full_like(error, least), seed + 100))
    given = noisy(test, error, seed)
    plain, known = one_step(model, given, test), one_step(model, given, test, observation_error=error)
    return {"without": plain, "with": known, "ratio": known / plain}


def constant(train: xr.DataArray, test: xr.DataArray, seed: int) -> dict[str, float]:
    """Return the error of a model of clean fields that knows the noise, and of one that was trained on it."""
    error = xr.zeros_like(test[0, 0]).drop_vars("time") + NOISE * float(train.std())
    given = noisy(test, error, seed)
    told = one_step(gc.LinearForecaster(random_state=0).fit(train), given, test, observation_error=error)
    trained = one_step(gc.LinearForecaster(random_state=0).fit(noisy(train, error, seed + 100)), given, test)
    return {"told": told, "trained": trained, "ratio": told / trained}


def faults(seed: int) -> dict[str, float]:
    """Return the shares of planted faults that are found at one false alarm in a hundred."""
    train, test = gc.train_test_split(open_series("air"), test_fraction=0.3)
    test = test[:500].load()
    model = gc.LinearForecaster(random_state=0).fit(train)
    usual = model.log_likelihood(test)
    limit = usual.sum(("lat", "lon")).quantile(FALSE_ALARMS)
    rng, swapped, drifted = np.random.default_rng(seed), [], []
    steps = rng.choice(np.arange(20, 460), 20, replace=False)
    for step in steps:
        wrong = test.copy()
        wrong[step], wrong[step + 20] = test[step + 20].values, test[step].values
        found = model.log_likelihood(wrong[step - 10 : step + 1]).sum(("lat", "lon"))[-1]
        swapped.append(bool(found < limit))
    one = model.predict_samples(1, n_samples=50).std("member")[0]
    for step in steps:
        y, x = rng.integers(test.sizes["lat"]), rng.integers(test.sizes["lon"])
        wrong = test[step - 10 : step + LASTS].copy()
        wrong[10:, y, x] += np.linspace(0, DRIFT, LASTS) * float(one[y, x])
        found = model.log_likelihood(wrong)[-LASTS:, y, x].mean()
        # as long means, at any step
        drifted.append(bool(found < usual[:, y, x].rolling(time=LASTS).mean().quantile(FALSE_ALARMS)))
    return {"swapped": float(np.mean(swapped)), "drifted": float(np.mean(drifted))}


def conditions(seed: int) -> dict[str, list[float]]:
    """Return shift and spread of members at leads 1 and 2, over those of the exact distribution given lead 3."""
    rng, weight, n_times, shape = np.random.default_rng(seed), 0.8, 2000, (8, 12)
    fields = [np.zeros(shape)]
    for noise in rng.normal(size=(n_times - 1, *shape)):
        fields.append(weight * fields[-1] + noise)
    time = np.datetime64("2001-01-01", "ns") + np.arange(n_times) * np.timedelta64(1, "D")
    series = xr.DataArray(np.stack(fields), dims=("time", "y", "x"), coords={"time": time}, name="autoregression")
    model = gc.LinearForecaster(lags=1, climatology="mean", random_state=seed).fit(series)
    free = model.predict_samples(3, n_samples=500)
    given = free.mean("member")[2:] + 2.0
    found = model.predict_samples(3, n_samples=500, given=given)
    variance = np.array([sum(weight ** (2 * k) for k in range(lead)) for lead in (1, 2, 3)])
    gain = weight ** np.array([2, 1]) * variance[:2] / variance[2]
    moved = (found - free).mean(("member", "y", "x")).values[:2] / (2.0 * gain)
    spread = found.var("member").mean(("y", "x")).values[:2] / (variance[:2] - gain**2 * variance[2])
    return {"mean": moved.tolist(), "spread": np.sqrt(spread).tolist()}


if __name__ == "__main__":
    main()
