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
from benchmark import COMMIT, FILES, HORIZON, Autoregression, DampedPersistence, LinearInverseModel, open_series
from scipy.stats import norm

import gridcast as gc

LEADS, N_MEMBERS = (1, 5, 10, 20), 50
STRIDES = {"air": 5, "era5": 2, "sst": 1}  # steps between two origins
ENSEMBLE_STRIDES = {"air": 20, "era5": 8, "sst": 4}
EARLIER = 0.75
PEERS = {"damped persistence": DampedPersistence, "AR(3) of each cell": Autoregression}


class AnomalyInverseModel(LinearInverseModel):
    """The same of anomalies from the climatology."""

    def fit(self, X: xr.DataArray) -> AnomalyInverseModel:
        """Learn climatology, components and regression from a series."""
        self.anomaly = gc.Anomaly().fit(X)
        super().fit(self.anomaly.transform(X))
        return self

    def forecast(self, X: xr.DataArray, horizon: int) -> np.ndarray:
        """Return (origin, lead, y, x) from every step of `X` but the first; NaN beyond its end."""
        anomalies = super().forecast(self.anomaly.transform(X), horizon)
        cycle = -self.anomaly.transform(xr.zeros_like(X)).values
        for lead in range(1, horizon + 1):
            following = np.full_like(anomalies[:, 0], np.nan)
            following[: len(following) - lead] = cycle[1 + lead :]
            anomalies[:, lead - 1] += following
        return anomalies


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
    origins = np.arange(0, len(test) - HORIZON + 1, STRIDES[name])
    start = time.perf_counter()
    model = gc.LinearForecaster(random_state=0).fit(train)
    model.predict(HORIZON)
    seconds = time.perf_counter() - start
    found = {"LinearForecaster": of_forecaster(model, test, name, factor)}
    for strategy in ("persistence", "climatology"):
        found[strategy] = of_forecaster(gc.NaiveForecaster(strategy).fit(train), test, name, factor)
    peers: dict[str, Any] = {label: cls() for label, cls in PEERS.items()}
    peers["inverse model (60 components, order 2)"] = LinearInverseModel()
    peers["inverse model of anomalies (60 components, order 2)"] = AnomalyInverseModel()
    for label, peer in peers.items():
        peer.fit(train)
        n_before = getattr(peer, "n_before", 1)
        forecast = peer.forecast(xr.concat([train[-1 - n_before :], test], train.dims[0]), HORIZON)
        errors = [np.square(forecast[: len(test), 0] - test.values)]
        errors += [np.square(forecast[origins, k - 1] - test.values[origins + k - 1]) for k in LEADS]
        found[label] = [factor**2 * float(np.nanmean(e)) for e in errors]
    return {
        "mse": found,
        "crps": crps(name, model, train, test, factor),
        "seconds": seconds,
        "commit": COMMIT,
        "versions": {"gridcast": gc.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()} CPU, {os.cpu_count()} cores, 1 thread",
    }


def of_forecaster(model: Any, test: xr.DataArray, name: str, factor: float) -> list[float]:
    """Return the errors one step ahead and at each of `LEADS`."""
    one = gc.backtest(model, test, 1)
    multi = gc.backtest(model, test, HORIZON, stride=STRIDES[name])
    over = [d for d in multi.dims if d != "lead_time"]
    by_lead = gc.metrics.mse(multi, test.sel(time=multi.time), dim=over, weights=None)
    errors = [gc.metrics.mse(one, test.sel(time=one.time), weights=None), *(by_lead.sel(lead_time=k) for k in LEADS)]
    return [factor**2 * float(e) for e in errors]


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
