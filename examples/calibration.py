"""Measure whether the intervals of `predict_quantiles` hold on steps that follow the training series.

``python examples/calibration.py air,sst,era5,precipitation,turbulence --threads 1 --out docs/results`` trains on the
first 70 % of the steps (turbulence: on 64 simulations) and writes ``calibration.json``: how often the rest lies inside
central intervals of 50 and 90 % at leads 1, 5 and 20, or as far as the rest allows. Run again, it goes on where it was
stopped. What equals several quantiles, as no rain does, counts as drawn at random among their levels: else an
interval that ends at zero would hold too often whatever the forecast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from benchmark import COMMIT, N_GIVEN, open_series, read, simulations, write

import gridcast as gc

LEADS = (1, 5, 20)
LEVELS = np.arange(1, 20) / 20  # the ends of both intervals are among them
ORIGIN_STRIDE = 10
MODELS = {"linear": gc.LinearForecaster, "cnmm": gc.CNMMForecaster}


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    path = arguments.out / "calibration.json"
    results = read(path)
    for series in arguments.series.split(","):
        for name in arguments.models.split(","):
            for seed in range(arguments.seeds):
                key = f"{series}/{name}/{seed}"
                if key not in results:
                    print(f"{key} ...", flush=True)
                    results[key] = run(series, MODELS[name](random_state=seed))
                    write(path, results)
                print(key, results[key]["coverage"], flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", help="of air, sst, era5, precipitation, turbulence, separated by commas")
    parser.add_argument("--models", default="linear")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    return parser.parse_args()


def run(series: str, model: Any) -> dict[str, Any]:
    """Return the coverage of both intervals at each lead, of a model that is fitted here."""
    if series == "turbulence":
        train, test = simulations()
    else:
        train, test = gc.train_test_split(open_series(series), test_fraction=0.3)
    began = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - began
    made = of_simulations(model, test) if series == "turbulence" else of_origins(model, test)
    ranks: dict[int, list[np.ndarray]] = {}
    for quantiles in made:
        truth = test.sel(time=quantiles.time)
        for lead in LEADS:
            if lead <= truth.sizes["time"]:
                ranks.setdefault(lead, []).append(rank(quantiles.isel(time=lead - 1), truth.isel(time=lead - 1)))
    covered = {str(lead): shares(np.concatenate(found)) for lead, found in ranks.items()}
    return {"coverage": covered, "fit_seconds": seconds, "commit": COMMIT}


def of_origins(model: Any, test: xr.DataArray) -> Iterator[xr.DataArray]:
    """Yield the quantiles after every so many steps."""
    horizon = min(max(LEADS), test.sizes["time"] - 1)
    for first in range(0, test.sizes["time"] - horizon + 1, ORIGIN_STRIDE):
        yield model.predict_quantiles(horizon=horizon, q=list(LEVELS))
        model.update(test[first : first + ORIGIN_STRIDE])


def of_simulations(model: Any, test: xr.DataArray) -> Iterator[xr.DataArray]:
    """Yield the quantiles after the given fields of all simulations."""
    horizon = test.sizes["time"] - N_GIVEN
    yield model.predict_quantiles(test[:, :N_GIVEN], horizon, q=list(LEVELS))


def rank(quantiles: xr.DataArray, truth: xr.DataArray) -> np.ndarray:
    """Return the probability at which the forecast has what came, at random where several levels have it."""
    known = truth.notnull().values
    below, within = (met.sum("quantile").values[known] for met in (quantiles < truth, quantiles <= truth))
    return np.random.default_rng(0).uniform(below, within + 1) / (len(LEVELS) + 1)


def shares(ranks: np.ndarray) -> dict[str, float]:
    """Return how often ranks are inside each central interval."""
    return {f"{level:.0%}": float((np.abs(ranks - 0.5) <= level / 2).mean()) for level in (0.5, 0.9)}


if __name__ == "__main__":
    main()
