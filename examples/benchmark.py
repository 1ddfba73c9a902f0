"""Compare the forecasters on real series and on turbulence with what a user would pick instead.

``python examples/benchmark.py air --models cnmm,unet --seeds 3 --out docs/results`` trains on the first 70 % of the
steps and writes ``docs/results/real_air.json``; run again, it goes on where it was stopped. Errors are mean squared
errors on data scaled to [-1, 1] by the range of the training part; multi-step forecasts start every fifth step.

``turbulence`` trains on 64 simulations of `make_turbulence` and forecasts 16 others from their first ten fields. Errors
are divided by the variance of the training fields, one step ahead for each of the last 20 fields. ``noisy`` is the
error of the true fields one step ahead of fields with noise of a tenth of the standard deviation.

``--seconds`` is what the U-Net, the ConvLSTM and, on turbulence, the CNMM are given to train; by default the U-Net and
the ConvLSTM get the time that a fit of the CNMM took in the same file.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from unet import UNet

import gridcast as gc

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES = {"air": "air_temperature.zarr", "era5": "era5_t2m_uk_2019-03_hourly.nc", "sst": "ersstv5_sst.mnmean.nc"}
COMMIT = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
HORIZON, ORIGIN_STRIDE, N_MEMBERS = 20, 5, 20
UNBOUNDED = 10**6  # epochs: the time ends a training
NEURAL = {"convlstm": gc.ConvLSTMForecaster, "dmm": gc.DMMForecaster, "cnmm": gc.CNMMForecaster}
RANDOM = (*NEURAL, "linear", "unet")
N_TRAIN, N_TEST, N_GIVEN, NOISE = 64, 16, 10, 0.1  # simulations, fields that are given, noise in standard deviations


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"real_{arguments.series}.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if arguments.series != "turbulence":
        train, test = gc.train_test_split(open_series(arguments.series), test_fraction=0.3)
        factor = 2 / float(train.max() - train.min())
    for name in arguments.models.split(","):
        seconds = arguments.seconds or np.median(
            [r["fit_seconds"] for k, r in results.items() if k[:5] == "cnmm/"] or 300
        )
        for seed in range(arguments.seeds if name.partition("+")[0] in RANDOM else 1):
            key = f"{name}/{seed}"
            if key in results:
                continue
            print(f"{key} ...", flush=True)
            if arguments.series == "turbulence":
                results[key] = run_turbulence(name, seed, float(seconds))
            else:
                results[key] = run(name, seed, train, test, factor, float(seconds))
            results[key]["seconds"] = arguments.seconds
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(results, indent=1))
            temporary.replace(path)
    print(table(results))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", choices=[*FILES, "turbulence"])
    parser.add_argument("--models", default="persistence,climatology,damped,ar3,lim,linear,cnmm,unet,convlstm,dmm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="of a training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    return parser.parse_args()


def open_series(name: str) -> xr.DataArray:
    """Return the gridded variable of a file, in memory."""
    path = DATA / FILES[name]
    dataset = xr.open_zarr(path) if path.is_dir() else xr.open_dataset(path)
    (series,) = (v for v in dataset.data_vars.values() if v.ndim == 3)
    return series.load()


class LinearInverseModel:
    """Leading principal components and a ridge regression of the next on the last two: the usual reference.

    It is a vector autoregression of order 2 in the space of 60 components (Penland and Sardeshmukh 1995 use order 1).
    """

    n_before = 1  # steps before the first origin

    def fit(self, X: xr.DataArray) -> LinearInverseModel:
        """Learn components and regression from a series."""
        flat = X.values.reshape(len(X), -1)
        self.seen = np.isfinite(flat).all(0)
        flat = flat[:, self.seen]
        self.pca = PCA(min(60, *flat.shape), svd_solver="full").fit(flat)
        z = self.pca.transform(flat)
        self.ridge = Ridge(alpha=1e-3 * z.var() * len(z) / z.shape[1]).fit(np.hstack([z[1:-1], z[:-2]]), z[2:])
        return self

    def forecast(self, X: xr.DataArray, horizon: int) -> np.ndarray:
        """Return (origin, lead, y, x) from every step of `X` but the first."""
        flat = X.values.reshape(len(X), -1)
        z = self.pca.transform(np.nan_to_num(flat[:, self.seen]))
        now, before, out = z[1:], z[:-1], []
        for _ in range(horizon):
            now, before = self.ridge.predict(np.hstack([now, before])), now
            field = np.full((len(now), flat.shape[1]), np.nan, np.float32)
            field[:, self.seen] = self.pca.inverse_transform(now)
            out.append(field.reshape(-1, *X.shape[1:]))
        return np.stack(out, 1)


class DampedPersistence:
    """Anomalies from the climatology, times a weight for each cell and lead: a regression on the latest anomaly."""

    n_before = 0

    def fit(self, X: xr.DataArray, horizon: int = HORIZON) -> DampedPersistence:
        """Learn climatology and weights from a series."""
        self.anomaly = gc.Anomaly().fit(X)
        x = np.nan_to_num(self.anomaly.transform(X).values.astype(float))
        pairs = ((x[:-lead], x[lead:]) for lead in range(1, horizon + 1))
        weights = [(now * ahead).sum(0) / np.maximum(np.square(now).sum(0), 1e-12) for now, ahead in pairs]
        self.weights = np.clip(weights, 0.0, 1.0)
        return self

    def forecast(self, X: xr.DataArray, horizon: int) -> np.ndarray:
        """Return (origin, lead, y, x) from every step of `X`; NaN beyond its end."""
        x, cycle = self.anomaly.transform(X).values, cycle_of(self.anomaly, X)
        return np.stack([self.weights[k] * x + ahead(cycle, k + 1) for k in range(horizon)], 1)


class Autoregression:
    """Anomalies from the climatology, forecast at each cell from its own last three: a ridge regression."""

    n_before = 2

    def fit(self, X: xr.DataArray) -> Autoregression:
        """Learn climatology and weights, (y, x, lag), from a series."""
        self.anomaly = gc.Anomaly().fit(X)
        x = np.nan_to_num(self.anomaly.transform(X).values.astype(float))
        past = np.stack([x[2:-1], x[1:-2], x[:-3]], -1)
        square = np.einsum("tyxi,tyxj->yxij", past, past)
        ridge = 1e-3 * np.trace(square, axis1=-2, axis2=-1)[..., None, None] / 3 + 1e-12
        product = np.einsum("tyxi,tyx->yxi", past, x[3:])
        self.weights = np.linalg.solve(square + ridge * np.eye(3), product[..., None])[..., 0]
        return self

    def forecast(self, X: xr.DataArray, horizon: int) -> np.ndarray:
        """Return (origin, lead, y, x) from every step of `X` but the first two; NaN beyond its end."""
        x, cycle = self.anomaly.transform(X).values, cycle_of(self.anomaly, X)[2:]
        past, out = [x[2:], x[1:-1], x[:-2]], []
        for lead in range(1, horizon + 1):
            past = [sum(self.weights[..., i] * lag for i, lag in enumerate(past)), *past[:2]]
            out.append(past[0] + ahead(cycle, lead))
        return np.stack(out, 1)


def cycle_of(anomaly: gc.Anomaly, X: xr.DataArray) -> np.ndarray:
    """Return the climatology at each step of `X`, (time, y, x)."""
    return -anomaly.transform(xr.zeros_like(X)).values


def ahead(values: np.ndarray, lead: int) -> np.ndarray:
    """Return what comes `lead` steps after each step, (time, y, x); NaN beyond the end."""
    return np.concatenate([values[lead:], np.full_like(values[:lead], np.nan)])


PEERS = {"lim": LinearInverseModel, "damped": DampedPersistence, "ar3": Autoregression}


def run(name: str, seed: int, train: xr.DataArray, test: xr.DataArray, factor: float, seconds: float) -> dict[str, Any]:
    """Fit and score one forecaster; errors in scaled units squared."""
    start = time.perf_counter()
    horizon = min(HORIZON, len(test) // 4)
    result: dict[str, Any] = {}
    if name in PEERS or name == "unet":
        model = UNet(seconds, seed=seed).fit(train.values[None]) if name == "unet" else PEERS[name]().fit(train)
        fitted = time.perf_counter()
        # the last training step is the first origin
        series = xr.concat([train[-1 - model.n_before :], test], train.dims[0])
        forecast = model.forecast(series.values if name == "unet" else series, horizon)
        truth, n = test.values, len(test)
        result["one_step"] = float(np.nanmean(np.square(forecast[:n, 0] - truth)) * factor**2)
        origins = np.arange(0, n - horizon + 1, ORIGIN_STRIDE)
        errors = [np.nanmean(np.square(forecast[origins, k] - truth[origins + k])) for k in range(horizon)]
        result["multi_step"] = [float(e) * factor**2 for e in errors]
    else:
        model = build(name, seed, train, seconds).fit(train)
        fitted = time.perf_counter()
        one = gc.backtest(model, test, 1)
        result["one_step"] = float(gc.metrics.mse(one, test.sel(time=one.time), weights=None)) * factor**2
        multi = gc.backtest(model, test, horizon, stride=ORIGIN_STRIDE)
        over = [d for d in multi.dims if d != "lead_time"]
        errors = gc.metrics.mse(multi, test.sel(time=multi.time), dim=over, weights=None) * factor**2
        result["multi_step"] = errors.values.tolist()
        ensemble = gc.backtest(model, test, horizon, stride=4 * ORIGIN_STRIDE, n_samples=N_MEMBERS)
        truth = test.sel(time=ensemble.time)
        result["crps"] = (factor * gc.metrics.crps(ensemble, truth, dim=over, weights=None)).values.tolist()
        ratio = gc.metrics.spread_skill_ratio(ensemble, truth, dim=over, weights=None)
        result["spread_skill"] = ratio.values.tolist()
        missing = np.isnan(train).all(train.dims[0])
        result["land_stays_missing"] = bool((np.isnan(multi).all(["init_time", "lead_time"]) == missing).all())
        result["history"] = getattr(model, "history_", [])
        result["start_error"] = getattr(result["history"], "start_error", None)
        result["parameters"] = getattr(model, "n_parameters_", 0)
    return result | described(start, fitted)


def run_turbulence(name: str, seed: int, seconds: float) -> dict[str, Any]:
    """Fit and score one forecaster on turbulence; errors in units of the variance of the training fields."""
    train, test = simulations()
    variance, horizon = float(train.var()), test.sizes["time"] - N_GIVEN
    noise = NOISE * variance**0.5 * np.random.default_rng(2).normal(size=test.shape)
    noisy = test.copy(data=(test.values + noise).astype(test.dtype))
    start = time.perf_counter()
    if name == "unet":
        model: Any = UNet(seconds, (True, True), seed).fit(train.values)
        fitted = time.perf_counter()
        multi = model.continued(test.values[:, :N_GIVEN], horizon)

        def one_step(given: xr.DataArray) -> np.ndarray:
            past = (given.values[:, t - N_GIVEN : t] for t in range(N_GIVEN, N_GIVEN + horizon))
            return np.concatenate([model.continued(fields, 1) for fields in past], 1)
    else:
        model = build(name, seed, train, seconds)
        if name != "persistence":
            model.set_params(periodic=("y", "x"))
        if name == "cnmm":
            budget = gc.Training(max_minutes=seconds / 60)
            model.set_params(training=budget, max_steps=None, max_epochs=UNBOUNDED)
        model.fit(train)
        fitted = time.perf_counter()
        multi = model.predict(test[:, :N_GIVEN], horizon).values

        def one_step(given: xr.DataArray) -> np.ndarray:
            return model.predict(given[:, :-1], horizon, mode="one_step").values

    truth = test.values[:, N_GIVEN:]
    errors = {"one_step": one_step(test) - truth, "noisy": one_step(noisy) - truth}
    result: dict[str, Any] = {key: float(np.square(error).mean()) / variance for key, error in errors.items()}
    result["multi_step"] = (np.square(multi - truth).mean((0, 2, 3)) / variance).tolist()
    result["history"] = getattr(model, "history_", [])
    return result | described(start, fitted)


@functools.cache
def simulations() -> tuple[xr.DataArray, xr.DataArray]:
    """Return the turbulence that is learned and that which is forecast."""
    return gc.datasets.make_turbulence(N_TRAIN, random_state=0), gc.datasets.make_turbulence(N_TEST, random_state=1)


def described(start: float, fitted: float) -> dict[str, Any]:
    """Return how long a fit and its scores took, and on what."""
    return {
        "fit_seconds": fitted - start,
        "predict_seconds": time.perf_counter() - fitted,
        "commit": COMMIT,
        "versions": {"gridcast": gc.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    }


def build(name: str, seed: int, train: xr.DataArray, seconds: float) -> Any:
    """Return a forecaster with its default parameters; ``+time`` or ``+static`` adds the covariate of that name."""
    if name == "linear":
        return gc.LinearForecaster(random_state=seed)
    model, _, covariate = name.partition("+")
    if model not in NEURAL:
        return gc.NaiveForecaster(name, random_state=seed)
    parameters: dict[str, Any] = {}
    if model == "convlstm":
        parameters |= {"training": gc.Training(max_minutes=seconds / 60), "max_steps": None, "max_epochs": UNBOUNDED}
    if covariate == "time":
        parameters["time_features"] = ("season", "day") if len(train) > 1000 else "day"
    elif covariate == "static":
        parameters["static"] = diurnal_range(train)
    return NEURAL[model](random_state=seed, **parameters)


def diurnal_range(train: xr.DataArray) -> xr.DataArray:
    """Return the range of each cell's mean day: it tells sea from land and dry land from wet."""
    hours = train.groupby("time.hour").mean()
    return (hours.max("hour") - hours.min("hour")).rename("diurnal range")


def table(results: dict[str, Any]) -> str:
    """Return medians (worst) over seeds."""
    turbulent = "noisy" in next(iter(results.values()))
    unit, scale = ("MSE in units of the variance", 1) if turbulent else ("MSE x 1e4 on data scaled to [-1, 1]", 1e4)
    extra, digits = ["noisy"] if turbulent else [], 4
    horizon = max(len(r["multi_step"]) for r in results.values())
    leads = [k for k in (1, 5, 10, 20) if k <= horizon]
    lines = [f"{unit}; median (worst) of seeds"]
    head = ("one-step", *(f"lead {k}" for k in leads), *extra, "fit s")
    lines.append("model".ljust(14) + "".join(c.rjust(18) for c in head))
    for name in dict.fromkeys(key.partition("/")[0] for key in results):
        runs = [r for key, r in results.items() if key.partition("/")[0] == name]
        columns = [[scale * r["one_step"] for r in runs]]
        columns += [[scale * r["multi_step"][k - 1] for r in runs] for k in leads]
        columns += [[r[key] for r in runs] for key in extra]
        columns.append([r["fit_seconds"] for r in runs])
        cells = (f"{np.median(c):.{digits}g} ({max(c):.{digits}g})" for c in columns)
        lines.append(f"{name} [{len(runs)}]".ljust(14) + "".join(c.rjust(18) for c in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
