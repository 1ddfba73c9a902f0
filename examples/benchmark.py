"""Compare the forecasters on real and made series with what a user would pick instead.

``python examples/benchmark.py air --models cnmm,unet --seeds 3 --out docs/results`` trains on the first 70 % of the
steps and writes ``docs/results/real_air.json``; run again, it goes on where it was stopped. Errors are mean squared
errors on data scaled to [-1, 1] by the range of the training part; multi-step forecasts start every fifth step,
ensembles every twentieth. What is known of these is listed in `ensembles.py`.

``precipitation`` is 15 years of `make_precipitation` on cells of 5 degrees, ``precipitation_log1p`` the same through
log(1 + x), in which it is then scored too.

``turbulence`` trains on 64 simulations of `make_turbulence` and forecasts 16 others from their first ten fields. Errors
are divided by the variance of the training fields, one step ahead for each of the last 20 fields. ``noisy`` is the
error of the true fields one step ahead of fields with noise of a tenth of the standard deviation. ``turbulence_1800``
is the same with 1800 seconds of training for each.

``--seconds`` is what the U-Net, the ConvLSTM and, on turbulence, the CNMM are given to train; by default 420 on
turbulence, else the U-Net and the ConvLSTM get the time that a fit of the CNMM took in the same file. DMD needs
``pip install -e '.[bench]'``.
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
from ensembles import N_GIVEN, N_MEMBERS, ensemble_scores, held_out_spread, smallest
from peers import HORIZON, PEERS, Peer, following
from unet import UNet

import gridcast as gc

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES = {"air": "air_temperature.zarr", "era5": "era5_t2m_uk_2019-03_hourly.nc", "sst": "ersstv5_sst.mnmean.nc"}
SERIES = (*FILES, "precipitation", "precipitation_log1p")
COMMIT = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
ORIGIN_STRIDE, ENSEMBLE_EVERY = 5, 4  # steps; origins
UNBOUNDED = 10**6  # epochs: the time ends a training
NEURAL = {"convlstm": gc.ConvLSTMForecaster, "dmm": gc.DMMForecaster, "cnmm": gc.CNMMForecaster}
RANDOM = (*NEURAL, "linear", "unet")
N_TRAIN, N_TEST, NOISE = 64, 16, 0.1  # simulations; standard deviations
FLOWS = {"turbulence": 420.0, "turbulence_1800": 1800.0}  # seconds of a training


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    path = arguments.out / f"real_{arguments.series}.json"
    results = read(path)
    if arguments.series not in FLOWS:
        train, test = gc.train_test_split(open_series(arguments.series), test_fraction=0.3)
    for name in arguments.models.split(","):
        seconds = arguments.seconds or FLOWS.get(
            arguments.series, np.median([r["fit_seconds"] for k, r in results.items() if k[:5] == "cnmm/"] or 300)
        )
        for seed in range(arguments.seeds if name.partition("+")[0] in RANDOM else 1):
            key = f"{name}/{seed}"
            if key in results:
                continue
            print(f"{key} ...", flush=True)
            if arguments.series in FLOWS:
                results[key] = run_turbulence(name, seed, float(seconds), arguments.max_steps)
            else:
                results[key] = run(name, seed, train, test, float(seconds), arguments.max_steps)
            results[key]["seconds"] = arguments.seconds
            write(path, results)
    print(table(results))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", choices=[*SERIES, *FLOWS])
    parser.add_argument("--models", default="persistence,climatology,damped,ar3,lim,dmd,linear,cnmm,unet,convlstm,dmm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="of a training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--max-steps", type=int, help="of the neural forecasters, to try the script")
    return parser.parse_args()


def read(path: Path) -> dict[str, Any]:
    """Return the results so far."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, results: dict[str, Any]) -> None:
    """Replace the results so far; a reader never meets half of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(results, indent=1))
    temporary.replace(path)


def open_series(name: str) -> xr.DataArray:
    """Return the gridded variable of a file, or what is made, in memory."""
    if name.startswith("precipitation"):
        rain = gc.datasets.make_precipitation(15 * 73, shape=(36, 72), random_state=0)
        return np.log1p(rain).assign_attrs(units="log(1 + mm/day)") if name.endswith("log1p") else rain
    path = DATA / FILES[name]
    dataset = xr.open_zarr(path) if path.is_dir() else xr.open_dataset(path)
    (series,) = (v for v in dataset.data_vars.values() if v.ndim == 3)
    return series.load()


def forecasts(model: Any, train: xr.DataArray, test: xr.DataArray, horizon: int, stride: int = 1) -> np.ndarray:
    """Return forecasts of the steps after training from each `stride`-th, the last of training the first."""
    if isinstance(model, Peer):
        before = train.isel(time=slice(-1 - model.n_before, None))
        return model.forecast(xr.concat([before, test], "time"), horizon, stride)
    return gc.backtest(model, test, horizon, stride=stride).values


def run(
    name: str, seed: int, train: xr.DataArray, test: xr.DataArray, seconds: float, max_steps: int | None = None
) -> dict[str, Any]:
    """Fit and score one forecaster; errors in scaled units squared, CRPS in scaled units."""
    start = time.perf_counter()
    model = build(name, seed, train, seconds, max_steps)
    if name == "convlstm":
        train_for(model, seconds, max_steps)
    model.fit(train)
    fitted = time.perf_counter()
    factor = 2 / float(train.max() - train.min())
    horizon = min(HORIZON, len(test) // 4)
    series = xr.concat([train[-1:], test], "time")
    one = forecasts(model, train, test, 1)
    multi = forecasts(model, train, test, horizon, ORIGIN_STRIDE)
    truth = following(series, 0, horizon, ORIGIN_STRIDE)
    result: dict[str, Any] = {
        "one_step": float(np.nanmean(np.square(one[:, 0] - test.values))) * factor**2,
        "multi_step": (np.nanmean(np.square(multi - truth), (0, 2, 3)) * factor**2).tolist(),
    }
    if not isinstance(model, Peer):
        stride = ENSEMBLE_EVERY * ORIGIN_STRIDE
        members = gc.backtest(model, test, horizon, stride=stride, n_samples=N_MEMBERS).values
        mean, truth = multi[::ENSEMBLE_EVERY], truth[::ENSEMBLE_EVERY]
        result |= scaled_scores(members, mean, truth, held_out_spread(model, train, horizon), train, factor)
        missing = train.isnull().all("time").values
        result["land_stays_missing"] = bool((np.isnan(multi).all((0, 1)) == missing).all())
    return result | described(model, start, fitted)


def run_turbulence(name: str, seed: int, seconds: float, max_steps: int | None = None) -> dict[str, Any]:
    """Fit and score one forecaster on turbulence; errors in units of the variance of the training fields."""
    train, test = simulations()
    sd, horizon = float(train.std()), test.sizes["time"] - N_GIVEN
    noise = NOISE * sd * np.random.default_rng(2).normal(size=test.shape)
    noisy = test.copy(data=(test.values + noise).astype(test.dtype))
    start = time.perf_counter()
    model = build(name, seed, train, seconds, max_steps)
    if name in ("convlstm", "cnmm"):
        train_for(model, seconds, max_steps)
    model.fit(train)
    fitted = time.perf_counter()
    multi = continued(model, test, horizon)
    truth = test.values[:, N_GIVEN:]
    one_step = {"one_step": one_step_of(model, test), "noisy": one_step_of(model, noisy)}
    result: dict[str, Any] = {key: float(np.square(one - truth).mean()) / sd**2 for key, one in one_step.items()}
    result["multi_step"] = (np.square(multi - truth).mean((0, 2, 3)) / sd**2).tolist()
    if not isinstance(model, Peer):
        members = model.predict_samples(test[:, :N_GIVEN], horizon, n_samples=N_MEMBERS).values
        result |= scaled_scores(members, multi, truth, held_out_spread(model, train, horizon), train, 1 / sd)
    return result | described(model, start, fitted)


@functools.cache
def simulations() -> tuple[xr.DataArray, xr.DataArray]:
    """Return the turbulence that is learned and that which is forecast."""
    return gc.datasets.make_turbulence(N_TRAIN, random_state=0), gc.datasets.make_turbulence(N_TEST, random_state=1)


def continued(model: Any, test: xr.DataArray, horizon: int) -> np.ndarray:
    """Return what follows the given fields of each simulation, (sample, lead, y, x)."""
    if isinstance(model, Peer):
        known = test.isel(time=slice(N_GIVEN - 1 - model.n_before, N_GIVEN + horizon))
        return model.forecast(known, horizon)[:, 0]
    return model.predict(test[:, :N_GIVEN], horizon).values


def one_step_of(model: Any, test: xr.DataArray) -> np.ndarray:
    """Return forecasts of each field after the given ones from those before it, (sample, time, y, x)."""
    if isinstance(model, Peer):
        return model.forecast(test.isel(time=slice(N_GIVEN - 1 - model.n_before, None)), 1)[:, :, 0]
    return model.predict(test[:, :-1], test.sizes["time"] - N_GIVEN, mode="one_step").values


def scaled_scores(
    members: np.ndarray, mean: np.ndarray, truth: np.ndarray, spread: np.ndarray, train: xr.DataArray, factor: float
) -> dict[str, Any]:
    """Return the scores of an ensemble, those with units times a factor."""
    found = ensemble_scores(members, mean, truth, spread, smallest(train))
    return found | {key: (factor * np.array(found[key])).tolist() for key in ("crps", "crps_gaussian")}


def described(model: Any, start: float, fitted: float) -> dict[str, Any]:
    """Return how long a fit and its scores took, on what, and what the model learned of itself."""
    history = getattr(model, "history_", [])
    found: dict[str, Any] = {
        "history": history,
        "start_error": getattr(history, "start_error", None),
        "parameters": getattr(model, "n_parameters_", 0),
        "fit_seconds": fitted - start,
        "predict_seconds": time.perf_counter() - fitted,
    }
    if hasattr(model, "rank"):
        found["chosen"] = {"rank": model.rank, "delays": model.n_delays}
    return found | where()


def where() -> dict[str, Any]:
    """Return on what a result was measured."""
    return {
        "commit": COMMIT,
        "versions": {"gridcast": gc.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    }


def build(name: str, seed: int, train: xr.DataArray, seconds: float, max_steps: int | None = None) -> Any:
    """Return a forecaster with its default parameters; ``+time`` or ``+static`` adds the covariate of that name."""
    model, _, covariate = name.partition("+")
    if model in PEERS:
        return PEERS[model]()
    if model == "unet":
        return UNet(seconds, around(train), seed)
    parameters: dict[str, Any] = {"random_state": seed}
    if "sample" in train.dims and model in (*NEURAL, "linear"):
        parameters["periodic"] = ("y", "x")
    if model == "linear":
        return gc.LinearForecaster(**parameters)
    if model not in NEURAL:
        return gc.NaiveForecaster(name, **parameters)
    if covariate == "time":
        parameters["time_features"] = ("season", "day") if len(train) > 1000 else "day"
    elif covariate == "static":
        parameters["static"] = diurnal_range(train)
    if max_steps is not None:
        parameters["max_steps"] = max_steps
    return NEURAL[model](**parameters)


def train_for(model: Any, seconds: float, max_steps: int | None = None) -> Any:
    """Let the time alone end the training of a neural forecaster."""
    budget = gc.Training(max_minutes=seconds / 60)
    return model.set_params(training=budget, max_steps=max_steps, max_epochs=UNBOUNDED)


def around(train: xr.DataArray) -> tuple[bool, bool]:
    """Return whether rows and columns go around: both of a torus, the longitudes of a globe."""
    if "sample" in train.dims:
        return True, True
    longitudes = train[train.dims[-1]]
    return False, bool(np.isclose(longitudes.size * abs(longitudes[1] - longitudes[0]), 360))


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
    lines.append("model".ljust(16) + "".join(c.rjust(22) for c in head))
    for name in dict.fromkeys(key.partition("/")[0] for key in results):
        runs = [r for key, r in results.items() if key.partition("/")[0] == name]
        columns = [[scale * r["one_step"] for r in runs]]
        columns += [[scale * r["multi_step"][k - 1] for r in runs] for k in leads]
        columns += [[r[key] for r in runs] for key in extra]
        columns.append([r["fit_seconds"] for r in runs])
        cells = (f"{np.median(c):.{digits}g}" + (f" ({max(c):.{digits}g})" if len(c) > 1 else "") for c in columns)
        lines.append(f"{name} [{len(runs)}]".ljust(16) + "".join(c.rjust(22) for c in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
