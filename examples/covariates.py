"""Measure what covariates are worth on six-hourly air temperature.

``python examples/covariates.py --threads 1 --out docs/results`` trains on the first 70 % of the steps and writes
``covariates.json``: mean squared errors of the rest in K2 at leads 1 and 5, without covariates, with one that leaks the
large-scale mean (over 9 x 9 cells) of each step ahead, with the same of the next step as a covariate of the past, with
the mean of the whole domain, and with pure noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from benchmark import COMMIT, open_series, write

import gridcast as gc

LEADS, SIDE = (1, 5), 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    series = open_series("air").load()
    train, test = gc.train_test_split(series, test_fraction=0.3)
    around = series.rolling({d: SIDE for d in series.dims[-2:]}, center=True, min_periods=1).mean()
    noise = xr.DataArray(
        np.random.default_rng(0).normal(size=(series.sizes["time"], 3)),
        dims=("time", "covariate"),
        coords={"time": series.time},
    )
    kinds: dict[str, dict[str, xr.DataArray]] = {
        "none": {},
        f"the mean over {SIDE} x {SIDE} cells of each step, known ahead": {"covariates": around},
        "that of the next step, of the past": {"past_covariates": around.shift(time=-1)},
        "the mean of the whole field, known ahead": {"covariates": series.mean(series.dims[-2:])},
        "noise, area-wide": {"covariates": noise},
    }
    results: dict[str, Any] = {}
    for kind, given in kinds.items():
        model = gc.LinearForecaster(random_state=0).fit(train, **given)
        forecast = gc.backtest(model, test, max(LEADS), stride=5, **given)
        errors = np.square(forecast - test.sel(time=forecast.time)).mean(("init_time", *series.dims[-2:]))
        used = {} if not given else {"used": bool(model.covariates_.chosen.drop("none").any())}
        results[kind] = {str(n): float(errors.sel(lead_time=n)) for n in LEADS} | used | {"commit": COMMIT}
        print(kind, results[kind], flush=True)
        write(arguments.out / "covariates.json", results)


if __name__ == "__main__":
    main()
