"""What each mechanism of the CNMM's linear start and filter was worth on real series: leave one out, compare.

``python examples/ablation_real.py --out docs/results`` adds to ``ablation_real.json`` after every run and goes on where
it was stopped. Test parts are never looked at: of the first 70 % of a series, the first part is fitted and the rest is
forecast. The mechanisms are those of commit 4032fe9, where this script runs; most of them went since.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import xarray as xr
from benchmark_real import open_series

import gridcast as gc
from gridcast.modules import residual
from gridcast.modules.chains import PriorChain
from gridcast.modules.residual import LatentLayout, ResidualCombiner

LEADS = (1, 5, 10, 20)
N_MEMBERS = 10
N_ENSEMBLES = {"air": 8, "era5": 8, "sst": 3}  # origins of ensembles
FITTED = {"air": 0.8, "era5": 0.8, "sst": 0.7}
STRIDES = {"air": 5, "era5": 2, "sst": 1}
TRAINED: dict[str, dict[str, Any]] = {
    "air": {"max_steps": 60},
    "era5": {"max_steps": 60},
    "sst": {"max_steps": 40, "max_epochs": 100, "patch_size": 44},
}
UNTRAINED: dict[str, Any] = {"max_steps": 1, "learning_rate": 1e-9}


def combine_without_gain(self: Any, previous: Any, hidden: Any, skip: Any) -> Any:
    """Return the posterior with the observed coefficients in the place of a filter's."""
    features = self.layout.features(previous)
    combined = self.network.combine(self.layout.inputs(features, previous), hidden)
    loc = self.layout.latent(skip, self.network.loc(combined))
    return loc, self.layout.step * residual.positive(self.network.scale(combined), residual.SCALE_FLOOR)


VARIANTS: dict[str, Any] = {
    "default": lambda: (),
    "without evidence": lambda: (
        mock.patch.object(
            LatentLayout, "forecast", lambda self, features, state: self.linear(features, self.local(state))
        ),
    ),
    "without maps of places": lambda: (mock.patch.object(gc.CNMMForecaster, "_maps", lambda self, spec, frames: None),),
    "without correlated noise": lambda: (
        mock.patch.object(LatentLayout, "noise", lambda self, like: torch.randn_like(like)),
    ),
    "without widened prior": lambda: (
        mock.patch.object(PriorChain, "after_estimates", lambda self, z, estimates: self.steps(z)),
    ),
    "without gain": lambda: (mock.patch.object(ResidualCombiner, "forward", combine_without_gain),),
    "without floors": lambda: (mock.patch.object(residual, "SCALE_FLOOR", 1e-3),),
}
AT_FORECAST_TIME = ("without correlated noise",)  # the training is that of the default


@contextlib.contextmanager
def patched(variant: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for patch in VARIANTS[variant]():
            stack.enter_context(patch)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default="era5,air,sst")
    parser.add_argument("--budgets", default="untrained,trained")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.out / "ablation_real.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    for series in arguments.series.split(","):
        for budget in arguments.budgets.split(","):
            for seed in range(arguments.seeds):
                run_all(series, budget, seed, results, path)
    print(table(results))


def run_all(series: str, budget: str, seed: int, results: dict[str, Any], path: Path) -> None:
    data = open_series(series)
    data = data[: round(0.7 * len(data))]
    n_fitted = round(FITTED[series] * len(data))
    train, rest = data[:n_fitted], data[n_fitted:]
    default = None
    for variant in VARIANTS:
        key = f"{series}/{budget}/{variant}/{seed}"
        if key in results["runs"] or (budget == "untrained" and (variant == "without widened prior" or seed)):
            continue
        print(time.strftime("%H:%M:%S"), key, flush=True)
        start = time.perf_counter()
        with patched(variant):
            if variant in AT_FORECAST_TIME and default is not None:
                model = default
            else:
                parameters = UNTRAINED if budget == "untrained" else TRAINED[series]
                model = gc.CNMMForecaster(random_state=seed, verbose=0, **parameters).fit(train)
            fitted = time.perf_counter() - start
            default = model if variant == "default" else default
            results["runs"][key] = scores(model, train, rest, series) | {"fit_seconds": fitted} | machine()
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(results, indent=1))
        temporary.replace(path)


def scores(model: Any, train: xr.DataArray, rest: xr.DataArray, series: str) -> dict[str, Any]:
    """Return errors in units of the range of the fitted part, half of which is 1."""
    factor = 2 / float(train.max() - train.min())
    horizon = min(20, len(rest) - 1)
    leads = [lead for lead in LEADS if lead <= horizon]
    one = gc.backtest(model, rest, 1)
    multi = gc.backtest(model, rest, horizon, stride=STRIDES[series])
    n_origins = len(rest) - horizon + 1
    ensemble = gc.backtest(model, rest, horizon, stride=max(1, n_origins // N_ENSEMBLES[series]), n_samples=N_MEMBERS)
    over = [d for d in multi.dims if d != "lead_time"]
    truth = rest.sel(time=ensemble.time)
    mse = gc.metrics.mse(multi, rest.sel(time=multi.time), dim=over, weights=None)
    crps = gc.metrics.crps(ensemble, truth, dim=over, weights=None)
    ratio = gc.metrics.spread_skill_ratio(ensemble, truth, dim=over, weights=None)
    return {
        "one_step": factor**2 * float(gc.metrics.mse(one, rest.sel(time=one.time), weights=None)),
        "leads": leads,
        "mse": [factor**2 * float(mse.sel(lead_time=k)) for k in leads],
        "crps": [factor * float(crps.sel(lead_time=k)) for k in leads],
        "spread_skill": [float(ratio.sel(lead_time=k)) for k in leads],
    }


def machine() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "commit": commit,
        "versions": {"gridcast": gc.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()} CPU, {os.cpu_count()} cores, 1 thread",
    }


def table(results: dict[str, Any]) -> str:
    """Return, in percent of the default, the mean over seeds of each score, and the largest difference of seeds."""
    lines = []
    keys = [key.split("/") for key in results["runs"]]
    for series, budget in dict.fromkeys((k[0], k[1]) for k in keys):
        of = {
            variant: [r for key, r in results["runs"].items() if key.split("/")[:3] == [series, budget, variant]]
            for variant in VARIANTS
        }
        for variant, runs in of.items():
            if not runs or not of["default"]:
                continue
            cells = []
            for name in ("one_step", "mse", "crps"):
                found = np.array([np.atleast_1d(r[name]) for r in runs])
                base = np.array([np.atleast_1d(r[name]) for r in of["default"]]).mean(0)
                cells += [
                    f"{100 * (m - 1):+.1f}±{50 * s:.1f}"
                    for m, s in zip((found / base).mean(0), np.ptp(found / base, axis=0))
                ]
            lines.append(f"{series} {budget} {variant} [{len(runs)}]".ljust(46) + " ".join(c.rjust(10) for c in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
