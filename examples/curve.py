"""Draw what seconds of training buy: held-out error of the CNMM, the U-Net and the ConvLSTM against seconds.

``python examples/curve.py --threads 1 --out docs/results`` writes ``curve.json`` and draws ``curve.svg``; run again, it
goes on where it was stopped. Each point is a training of its own, since schedules depend on what they are given. The
training part of `benchmark.py` alone is used: its last tenth (of turbulence, simulations) is held out of every
training and forecast one step ahead. The time of a point is that of the whole fit, with what comes before and after
the training.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from benchmark import build, forecasts, one_step_of, open_series, read, simulations, train_for, where, write
from ensembles import N_GIVEN
from matplotlib.ticker import LogLocator
from peers import divide

import gridcast as gc

TITLES = {
    "air": "Six-hourly air temperature, MSE x 1e4 scaled",
    "turbulence": "Turbulence, MSE / variance",
    "precipitation": "Made rain, MSE x 1e4 scaled",
}
LABELS = {"cnmm": "CNMM", "unet": "U-Net", "convlstm": "ConvLSTM"}
LEVELS = {"linear": "LinearForecaster", "persistence": "persistence"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default="air,turbulence")
    parser.add_argument("--models", default=",".join(LABELS))
    parser.add_argument("--budgets", default="30,60,120,240,480", help="seconds of training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    path = arguments.out / "curve.json"
    results = read(path)
    for series in arguments.series.split(","):
        trainings = [(name, 0.0) for name in LEVELS]
        budgets = [float(b) for b in arguments.budgets.split(",")]
        trainings += [(name, b) for b in budgets for name in arguments.models.split(",")]
        for name, budget in trainings:
            key = f"{series}/{name}/{budget:g}"
            if key in results:
                continue
            print(f"{key} ...", flush=True)
            results[key] = measure(series, name, budget)
            write(path, results)
            print(f"{results[key]['error']:.4g} in {results[key]['fit_seconds']:.0f} s", flush=True)
    draw(results, arguments.out / "curve.svg")


def measure(series: str, name: str, budget: float) -> dict[str, Any]:
    """Fit within a budget and return the held-out error one step ahead, and the seconds of the fit."""
    train = simulations()[0] if series == "turbulence" else training_part(series)
    earlier, later = divide(train)
    start = time.perf_counter()
    model = build(name, 0, earlier, budget)
    if name in ("cnmm", "convlstm"):
        train_for(model, budget)
    model.fit(earlier)
    seconds = time.perf_counter() - start
    if series == "turbulence":
        error, unit = one_step_of(model, later) - later.values[:, N_GIVEN:], float(earlier.var())
    else:
        error = forecasts(model, earlier, later, 1)[:, 0] - later.values
        unit = 1e-4 * (float(earlier.max() - earlier.min()) / 2) ** 2
    found = {"error": float(np.nanmean(np.square(error))) / unit, "fit_seconds": seconds, "budget": budget, "seed": 0}
    return found | where()


def training_part(series: str) -> xr.DataArray:
    """Return the part of a series that `benchmark.py` trains on."""
    return gc.train_test_split(open_series(series), test_fraction=0.3)[0]


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw error against seconds, a panel for each series and a line for each model."""
    names = [name for name in TITLES if any(key.startswith(f"{name}/") for key in results)]
    figure, panels = plt.subplots(1, len(names), figsize=(4.8 * len(names), 3.6), squeeze=False, layout="constrained")
    for panel, series in zip(panels[0], names, strict=True):
        runs = {key: run for key, run in results.items() if key.startswith(f"{series}/")}
        for name, label in LABELS.items():
            points = sorted((r["fit_seconds"], r["error"]) for key, r in runs.items() if f"/{name}/" in key)
            if points:
                panel.loglog(*np.transpose(points), marker="o", label=label)
        for (name, label), style in zip(LEVELS.items(), ("--", ":"), strict=True):
            if f"{series}/{name}/0" in runs:
                panel.axhline(runs[f"{series}/{name}/0"]["error"], color="0.4", linestyle=style, label=label)
        panel.set_xticks(sorted({run["budget"] for run in runs.values() if run["budget"]}))
        panel.minorticks_off()
        panel.xaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.set(xlabel="seconds of fit", ylabel="held-out error one step ahead", title=TITLES[series])
    panels[0, 0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
