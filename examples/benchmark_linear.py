"""Hold `LinearForecaster` against what is obvious, on the real series that lie beside the project.

``python examples/benchmark_linear.py --out docs/results`` writes ``linear.json``: mean squared errors on data scaled to
[-1, 1] by the range of the training part (the first 70 %), one step ahead and at leads 1, 5, 10 and 20; the continuous
ranked probability score of the ensemble beside that of a Gaussian around the same mean, whose standard deviation is the
error of each cell and lead in the last quarter of the training part, forecast by a model fitted to the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from benchmark import COMMIT, FILES, forecasts, open_series
from peers import HORIZON, PEERS, LinearInverseModel, following
from scipy.stats import norm

import gridcast as gc

LEADS, N_MEMBERS = (1, 5, 10, 20), 50
STRIDES = {"air": 5, "era5": 2, "sst": 1}  # steps between two origins
ENSEMBLE_STRIDES = {"air": 20, "era5": 8, "sst": 4}
EARLIER = 0.75
LABELS = {
    "damped": "damped persistence",
    "ar3": "AR(3) of each cell",
    "lim": "inverse model (60 components, order 2)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default=",".join(FILES))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.out / "linear.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name in arguments.series.split(","):
        train, test = gc.train_test_split(open_series(name), test_fraction=0.3)
        results[name] = compare(name, train, test)
        path.write_text(json.dumps(results, indent=1))
        for model, scores in results[name]["mse"].items():
            print(name, model.ljust(45), " ".join(f"{1e4 * s:9.3f}" for s in scores))
        print(name, "CRPS, ensemble / Gaussian", results[name]["crps"], f"{results[name]['seconds']:.1f} s", flush=True)


def compare(name: str, train: xr.DataArray, test: xr.DataArray) -> dict[str, Any]:
    """Return scores by model, one step ahead and at each of `LEADS`; CRPS by lead; seconds of fit and 20 leads."""
    factor = 2 / float(train.max() - train.min())
    start = time.perf_counter()
    model = gc.LinearForecaster(random_state=0).fit(train)
    model.predict(HORIZON)
    seconds = time.perf_counter() - start
    peers: dict[str, Any] = {label: PEERS[name]() for name, label in LABELS.items()}
    peers["inverse model of anomalies (60 components, order 2)"] = LinearInverseModel(anomalies=True)
    others = {strategy: gc.NaiveForecaster(strategy) for strategy in ("persistence", "climatology")} | peers
    fitted = {"LinearForecaster": model} | {label: other.fit(train) for label, other in others.items()}
    found = {label: errors(each, train, test, name, factor) for label, each in fitted.items()}
    return {
        "mse": found,
        "crps": crps(name, model, train, test, factor),
        "seconds": seconds,
        "commit": COMMIT,
        "versions": {"gridcast": gc.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()} CPU, {os.cpu_count()} cores, 1 thread",
    }


def errors(model: Any, train: xr.DataArray, test: xr.DataArray, name: str, factor: float) -> list[float]:
    """Return the errors one step ahead and at each of `LEADS`."""
    one = np.square(forecasts(model, train, test, 1)[:, 0] - test.values)
    truth = following(xr.concat([train[-1:], test], "time"), 0, HORIZON, STRIDES[name])
    multi = np.square(forecasts(model, train, test, HORIZON, STRIDES[name]) - truth)
    return [factor**2 * float(np.nanmean(e)) for e in (one, *(multi[:, k - 1] for k in LEADS))]


def crps(name: str, model: Any, train: xr.DataArray, test: xr.DataArray, factor: float) -> dict[str, list[float]]:
    """Return the CRPS at each of `LEADS` of the ensemble and of a Gaussian of the held-out error."""
    n = round(EARLIER * len(train))
    held_out = gc.backtest(gc.LinearForecaster(random_state=0).fit(train[:n]), train[n:], HORIZON)
    error = held_out - train.sel(time=held_out.time)
    sd = np.sqrt(np.square(error).mean("init_time"))
    ensemble = gc.backtest(model, test, HORIZON, stride=ENSEMBLE_STRIDES[name], n_samples=N_MEMBERS)
    mean = gc.backtest(model, test, HORIZON, stride=ENSEMBLE_STRIDES[name])
    truth = test.sel(time=mean.time)
    over = [d for d in mean.dims if d != "lead_time"]
    ours = gc.metrics.crps(ensemble, truth, dim=over, weights=None)
    z = (truth - mean) / sd
    of_gaussian = sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    return {
        "ensemble": [factor * float(ours.sel(lead_time=k)) for k in LEADS],
        "Gaussian": [factor * float(of_gaussian.mean(over).sel(lead_time=k)) for k in LEADS],
    }


if __name__ == "__main__":
    main()
