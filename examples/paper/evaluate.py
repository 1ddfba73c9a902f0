"""The paper's scores of a fitted forecaster, and those that the paper lacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from experiments import WINDOW, Experiment, TestSet

import gridcast as gc

LENGTHS = (5, 10, 15, 20)
CONTEXT, HORIZON = 10, 20
N_MEMBERS, N_ENSEMBLES = 20, 24
LONG_RUN = 500


def evaluate(model: Any, experiment: Experiment) -> dict[str, Any]:
    """Return the scores on every test set, in scaled units; every neural model sees the same ten steps."""
    if not isinstance(model, gc.NaiveForecaster):
        model.set_params(context=CONTEXT)
    found = {name: scores(model, test.series, experiment.factor) for name, test in experiment.tests.items()}
    if not isinstance(model, gc.NaiveForecaster):
        found |= {"free run": free_run(model, next(iter(experiment.tests.values())).series)}
    return found


def scores(model: Any, series: xr.DataArray, factor: float) -> dict[str, Any]:
    """Return one-step MSE by window length, and by lead time the MSE, CRPS and spread-skill ratio.

    One-step: every target of a window of 30 steps is forecast from the observations before it; L = 5 means the last
    five. Multi-step: 20 steps after the first 10 of a window.
    """
    series = after_context(model, series)
    one = gc.backtest(model, series, 1)
    by_target = factor**2 * mean_squared(one, series).values[:, 0]
    multi = gc.backtest(model, series, HORIZON)
    by_lead = factor**2 * mean_squared(multi, series).mean("init_time").values
    few = thinned(series)
    ensemble = gc.backtest(model, few, HORIZON, stride=max(1, series.sizes["time"] // N_ENSEMBLES), n_samples=N_MEMBERS)
    truth = observed(ensemble, few)
    over = [d for d in truth.dims if d != "lead_time"]
    return {
        "one_step": {str(length): last_of_windows(by_target, length) for length in LENGTHS},
        "multi_step": by_lead.tolist(),
        "multi_step_mean": float(by_lead.mean()),
        "crps": (factor * gc.metrics.crps(ensemble, truth, dim=over, weights=None)).values.tolist(),
        "spread_skill": gc.metrics.spread_skill_ratio(ensemble, truth, dim=over, weights=None).values.tolist(),
    }


def after_context(model: Any, series: xr.DataArray) -> xr.DataArray:
    """Return `series` without the steps for which a model of a shorter context would make further forecasts."""
    return series.isel(time=slice(CONTEXT - getattr(model, "context", 1), None))


def free_run(model: Any, series: xr.DataArray) -> dict[str, Any]:
    """Return what a member does in a run of 500 steps: finite, its range, and the spread in space of each fifth."""
    transformer = model.transformer_
    return describe(model.predict_samples(long_start(series), LONG_RUN, n_samples=1)) | {
        "training_range": [float(transformer.data_min_[0]), float(transformer.data_max_[0])]
    }


def long_start(series: xr.DataArray) -> xr.DataArray:
    """Return the context of long runs."""
    start = series.isel(time=slice(0, CONTEXT))
    return start.isel(sample=slice(0, 2)) if "sample" in start.dims else start


def describe(run: xr.DataArray) -> dict[str, Any]:
    """Return whether a long run is finite, its range, and the spread in space of each fifth of it."""
    spread = run.std(run.dims[-2:]).mean([d for d in run.dims if d not in ("time", *run.dims[-2:])])
    return {
        "finite": bool(np.isfinite(run).all()),
        "range": [float(run.min()), float(run.max())],
        "spread_by_fifth": [float(part.mean()) for part in np.array_split(spread.values, 5)],
    }


def oracle_scores(test: TestSet, factor: float) -> dict[str, Any]:
    """Return the scores of the Kalman filters of a test set of windows."""
    x = test.series.values
    found = {}
    for name, oracle in test.oracles.items():
        one, multi = oracle.one_step(x, CONTEXT), oracle.multi_step(x[:, :CONTEXT], HORIZON)
        by_target = factor**2 * np.square(one.mean - x[:, CONTEXT:]).mean((0, 2, 3))
        by_lead = factor**2 * np.square(multi.mean - x[:, CONTEXT:]).mean((0, 2, 3))
        found[name] = {
            "one_step": {str(length): float(by_target[-length:].mean()) for length in LENGTHS},
            "multi_step": by_lead.tolist(),
            "multi_step_mean": float(by_lead.mean()),
            "crps": (factor * multi.crps(x[:, CONTEXT:])).tolist(),
        }
    return found


def last_of_windows(by_target: np.ndarray, length: int) -> float:
    """Return the mean over windows of the mean over their last `length` targets; the first target is step 10."""
    starts = np.arange(len(by_target) + CONTEXT - WINDOW + 1)
    targets = starts[:, None] + WINDOW - CONTEXT - length + np.arange(length)
    return float(by_target[targets].mean())


def mean_squared(forecast: xr.DataArray, series: xr.DataArray) -> xr.DataArray:
    """Return the squared error, (init_time, lead_time)."""
    error = forecast - observed(forecast, series)
    return np.square(error).mean([d for d in forecast.dims if d not in ("init_time", "lead_time")])


def observed(forecast: xr.DataArray, series: xr.DataArray) -> xr.DataArray:
    """Return the observation of every forecast, without the member dimension."""
    return series.sel(time=forecast.time)


def thinned(series: xr.DataArray) -> xr.DataArray:
    """Return evenly spaced windows, enough for scores of an ensemble."""
    if "sample" not in series.dims:
        return series
    return series.isel(sample=slice(None, None, max(1, series.sizes["sample"] // N_ENSEMBLES)))
