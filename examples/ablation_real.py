"""What each mechanism of the CNMM is worth on real series: leave one out, compare.

``python examples/ablation_real.py --out docs/results`` adds to the part "real" of ``ablation.json`` after every run and
goes on where it was stopped. Test parts are never looked at: of the first 70 % of a series, the first part is fitted
and the rest is forecast. Runs of commit 4032fe9 have mechanisms that went since, and so did
the widened prior and the floors of commit 0bb6ca6; "new" and these are of the former transition, one layer that added
to the linear model; those of the deep transition are "deep".
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
from benchmark import open_series

import gridcast as gc
from gridcast.forecasters import cnmm, decisions
from gridcast.modules.blend import Blend
from gridcast.modules.residual import LatentLayout

LEADS = (1, 5, 10, 20)
N_MEMBERS = 10
N_ENSEMBLES = {"air": 8, "era5": 8, "sst": 3, "noisy": 8}  # origins of ensembles
FITTED = {"air": 0.8, "era5": 0.8, "sst": 0.7, "noisy": 0.8}
STRIDES = {"air": 5, "era5": 2, "sst": 1, "noisy": 2}
NOISE = 0.3  # K: "noisy" is era5 with errors of observation a little larger than those of a forecast one step ahead
STEPS = {"air": 1000, "era5": 1000, "noisy": 1000, "sst": 300}
VARIANTS: dict[str, Any] = {
    "deep default": lambda: (),
    "deep without weight decay": lambda: (mock.patch.object(cnmm, "WEIGHT_DECAY", 0.0),),
    "deep without several steps": lambda: (mock.patch.object(cnmm, "TAUGHT", (0.95, 0.95)),),
    "deep without weights by lead": lambda: (
        mock.patch.object(Blend, "fit", return_value=None),
        mock.patch.object(decisions, "LEAST_GAIN", -1.0),  # nothing is known of what the networks gain
    ),
    "deep without correlated noise": lambda: (
        mock.patch.object(LatentLayout, "noise", lambda self, like: torch.randn_like(like)),
    ),
}
AT_FORECAST_TIME = ("deep without correlated noise",)  # the training is that of the default
ABOUT = """Held-out parts of the training parts: of the first 70 % of a series the first 80 % (of the sea surface 70 %)
are fitted and the rest is forecast. "Deep" are 1000 steps (sea surface: 300); before, 60 steps (sea surface: 40 on
patches of 44 cells; "noisy", which is era5 plus observation errors of 0.3 K: 300). The default is given in
1e-4 (CRPS: scaled units), the others as differences from it, in brackets half the range of the seeds. Rows that are not
there were not measured."""


@contextlib.contextmanager
def patched(variant: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for patch in VARIANTS[variant]():
            stack.enter_context(patch)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default="era5,air,sst,noisy")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.out / "ablation.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results.setdefault("real", {"runs": {}}).update(
        about=ABOUT, command="python examples/ablation_real.py --out docs/results"
    )
    for series in arguments.series.split(","):
        for seed in range(arguments.seeds):
            run_all(series, seed, arguments.variants.split(","), results, path)
    print(table(results["real"]))


def run_all(series: str, seed: int, variants: list[str], results: dict[str, Any], path: Path) -> None:
    runs = results["real"]["runs"]
    data = open_series("era5" if series == "noisy" else series)
    if series == "noisy":
        data = data + NOISE * np.random.default_rng(0).standard_normal(data.shape, dtype=np.float32)
    data = data[: round(0.7 * len(data))]
    n_fitted = round(FITTED[series] * len(data))
    train, rest = data[:n_fitted], data[n_fitted:]
    default = None
    for variant in variants:
        key = f"{series}/trained/{variant}/{seed}"
        if key in runs:
            continue
        print(time.strftime("%H:%M:%S"), key, flush=True)
        start = time.perf_counter()
        with patched(variant):
            if variant in AT_FORECAST_TIME and default is not None:
                model = default
            else:
                model = gc.CNMMForecaster(random_state=seed, verbose=0, max_steps=STEPS[series]).fit(train)
            fitted = time.perf_counter() - start
            default = model if variant == "deep default" else default
            runs[key] = scores(model, train, rest, series) | {"fit_seconds": fitted} | machine()
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
            if not runs or not of["deep default"]:
                continue
            cells = []
            for name in ("one_step", "mse", "crps"):
                found = np.array([np.atleast_1d(r[name]) for r in runs])
                base = np.array([np.atleast_1d(r[name]) for r in of["deep default"]]).mean(0)
                cells += [
                    f"{100 * (m - 1):+.1f}±{50 * s:.1f}"
                    for m, s in zip((found / base).mean(0), np.ptp(found / base, axis=0), strict=True)
                ]
            lines.append(f"{series} {budget} {variant} [{len(runs)}]".ljust(46) + " ".join(c.rjust(10) for c in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
