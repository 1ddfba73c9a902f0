"""Hold the default CNMM against what is obvious on short slices of the benchmark's data.

``python examples/slices.py --threads 1 --out docs/results`` trains on the first 70 % of each slice and writes
``slices.json``; run again, it goes on where it was stopped. Errors are mean squared errors at leads 1, 5, 10 and 20,
as far as the slice allows five forecasts, on data scaled to [-1, 1] by the range of the training part; forecasts start
at every step. ``ratio`` is the CNMM's to the best of the others at that lead.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from benchmark import build, forecasts, open_series, read, where, write
from peers import HORIZON, following

import gridcast as gc

LEADS = (1, 5, 10, 20)
TRAINED = 0.7
MODELS = ("persistence", "climatology", "damped", "linear", "cnmm")


def part_of(name: str, start: int, n_times: int) -> Callable[[], xr.DataArray]:
    """Return a function that opens some steps of a series."""
    return lambda: open_series(name)[start : start + n_times]


def dry_spell() -> xr.DataArray:
    """Return rain of which ever more is taken off, so that it dries up where the training ends."""
    rain = open_series("precipitation")[:100]
    taken = xr.DataArray(np.linspace(0, 12, len(rain)), dims="time")  # mm/day
    return (rain - taken).clip(0).astype(rain.dtype).assign_attrs(rain.attrs)


SLICES: dict[str, Callable[[], xr.DataArray]] = {
    "air, one year": part_of("air", 0, 1460),
    "air, one month": part_of("air", 0, 124),
    "air, 200 steps": part_of("air", 1000, 200),
    "era5, two weeks": part_of("era5", 0, 336),
    "era5, 200 hours": part_of("era5", 300, 200),
    "era5, one week": part_of("era5", 500, 168),
    "sst, ten years": part_of("sst", 0, 120),
    "sst, 60 months": part_of("sst", 60, 60),
    "precipitation, 200 pentads": part_of("precipitation", 0, 200),
    "precipitation_log1p, one year": part_of("precipitation_log1p", 365, 73),
    "precipitation, a dry spell": dry_spell,
    "turbulence, 2 simulations": lambda: gc.datasets.make_turbulence(2, random_state=0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(SLICES), help="one slice")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--max-steps", type=int, help="of the CNMM, to try the script")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    path = arguments.out / "slices.json"
    results = read(path)
    for name in [arguments.only] if arguments.only else SLICES:
        for seed in range(arguments.seeds):
            key = f"{name}/{seed}"
            if key not in results:
                print(f"{key} ...", flush=True)
                results[key] = compare(SLICES[name](), seed, arguments.max_steps)
                write(path, results)
    print(table(results))


def compare(series: xr.DataArray, seed: int, max_steps: int | None) -> dict[str, Any]:
    """Return errors at each of `LEADS` by model, the ratio of the CNMM to the best of the others, and seconds."""
    cut = int(TRAINED * series.sizes["time"])
    train, test = series.isel(time=slice(cut)), series.isel(time=slice(cut, None))
    horizon = min(HORIZON, test.sizes["time"] - 4)
    truth = following(series, cut - 1, horizon)
    factor = 2 / float(train.max() - train.min())
    leads = [lead for lead in LEADS if lead <= horizon]
    errors, seconds = {}, {}
    for name in MODELS:
        start = time.perf_counter()
        model = build(name, seed, train, 0.0, max_steps).fit(train)
        seconds[name] = time.perf_counter() - start
        squared = np.square(forecasts(model, train, test, horizon) - truth) * factor**2
        errors[name] = [float(np.nanmean(squared[..., lead - 1, :, :])) for lead in leads]
    best = np.min([errors[name] for name in MODELS if name != "cnmm"], axis=0)
    ratio = (np.array(errors["cnmm"]) / np.maximum(best, 1e-12)).tolist()
    found = {"n_times": series.sizes["time"], "leads": leads, "mse": errors, "ratio": ratio, "fit_seconds": seconds}
    return found | where()


def table(results: dict[str, Any]) -> str:
    """Return the ratio of each slice, and which of the others was best."""
    lines = [
        "CNMM / best of the others (which)".ljust(36) + "".join(f"lead {k}".rjust(22) for k in LEADS) + "fit s".rjust(8)
    ]
    for key, found in results.items():
        others = [name for name in MODELS if name != "cnmm"]
        cells = []
        for k, ratio in enumerate(found["ratio"]):
            best = min(others, key=lambda name, k=k: found["mse"][name][k])  # type: ignore[misc]
            cells.append(f"{ratio:.3f} ({best})")
        cells += [""] * (len(LEADS) - len(cells))
        lines.append(key.ljust(36) + "".join(c.rjust(22) for c in cells) + f"{found['fit_seconds']['cnmm']:8.0f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
