"""What each choice of the default CNMM is worth: change one, train with a small budget, compare.

``python examples/paper/ablation.py --seeds 2 --threads 1 --out docs/results`` writes ``ablation.json`` after every run
and goes on where it was stopped. Errors are one-step and multi-step mean squared errors on simulations that neither the
training nor the test of the experiment uses, so that a choice can be made here.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from evaluate import CONTEXT, HORIZON, scores
from oracle import KalmanOracle
from reproduce import machine, write

import gridcast as gc

VALIDATION_SEED = 3000
FACTOR = 2 / 1000  # K to scaled units
BUDGET = {"max_epochs": 100, "max_steps": 300, "training__stride": 6, "patch_size": 36}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "default again": {},  # of a later commit than the other rows
    "paper architecture": {"architecture": "paper"},
    "one lag": {"lags": 1},
    "without noise": {"training__observation_noise": 0.0},
    "without climatology": {"climatology": None},
    "constant learning rate": {"training__schedule": "constant"},
    "untrained": {"max_steps": 1, "learning_rate": 1e-9},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default=",".join(VARIANTS), help="comma-separated (default: all)")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    path = arguments.out / "ablation.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    train = gc.datasets.make_heat(10, emission_sd=1.0, random_state=VALIDATION_SEED)
    tests = {
        f"emission {i}": gc.datasets.make_heat(8, emission_sd=sd, random_state=VALIDATION_SEED + 1)[::10]
        for i, sd in ((1, 1.0), (2, 10.0))
    }
    results["limits"] = {
        "emission 1": limit(tests["emission 1"], 1.0),
        "emission 2": limit(tests["emission 2"], 10.0),
    }
    for seed in range(arguments.seeds):
        for name in arguments.variants.split(","):
            key = f"{name}/{seed}"
            if key in results["runs"]:
                continue
            print(f"{key} ...", flush=True)
            start = time.perf_counter()
            parameters = BUDGET | VARIANTS[name] | {"random_state": seed, "verbose": 0}
            model = gc.CNMMForecaster().set_params(**parameters).fit(train)
            fitted = time.perf_counter() - start
            found = {test: scores(model, series, FACTOR) for test, series in tests.items()}
            results["runs"][key] = {"scores": found, "fit_seconds": fitted, "history": model.history_} | machine()
            write(results, path)


def limit(series: xr.DataArray, emission_sd: float) -> dict[str, float]:
    """Return what the Kalman filter reaches on the same windows."""
    x, oracle = series.values, KalmanOracle(emission_sd)
    one, multi = oracle.one_step(x, CONTEXT), oracle.multi_step(x[:, :CONTEXT], HORIZON)
    return {
        "one_step": FACTOR**2 * float(np.square(one.mean - x[:, CONTEXT:]).mean()),
        "multi_step": FACTOR**2 * float(np.square(multi.mean - x[:, CONTEXT:]).mean()),
    }


if __name__ == "__main__":
    main()
