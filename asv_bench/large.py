"""Large fields, and what a search reads: ``python asv_bench/large.py --out docs/results``.

Fits the default CNMM to 500 fields of 40 channels of 32 x 64, with few training steps; runs a grid search over an
archive of 200 MB and counts the bytes that it read; holds a step of the transition in bands against one of whole
fields; then writes 720 fields of 721 x 1440 to a scratch folder as Zarr, fits the CNMM to them with few steps, which
cost the same on any large grid, and forecasts 24 steps.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from archive import GIB, SHAPE, resident, watched, write
from compare import machine
from sklearn.model_selection import GridSearchCV

import gridcast as gc
from gridcast.modules import bands
from gridcast.modules.deep import DeepTransition

GLOBE, HOURS, CHUNK = (721, 1440), 720, 24
LEVELS = 500, 40, 32, 64  # steps, channels, rows and columns
N_STEPS, LEADS = 20, 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small fields and archives, to try the script")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    shape, gigabytes = ((96, 192), 0.02) if arguments.small else (GLOBE, 0.2)
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, Callable[[], Any]] = {
            "channels": lambda: channels(arguments.small),
            "search": lambda: search(Path(folder) / "archive.zarr", gigabytes),
            "bands": lambda: in_bands(shape),
            "globe": lambda: globe(Path(folder) / "globe.zarr", shape),
        }
        for name, part in parts.items():
            found[name] = part()
            print({name: found[name]}, flush=True)
    if arguments.out:
        (arguments.out / "large.json").write_text(json.dumps(found | machine(), indent=1))


def channels(small: bool) -> dict[str, float]:
    """Return peak memory above that before, and seconds, of a fit to many levels of an atmosphere."""
    n_times, n_levels, rows, columns = (60, 4, 16, 32) if small else LEVELS
    level = gc.datasets.make_precipitation(n_times, shape=(rows, columns), random_state=0)
    noise = np.random.default_rng(0).standard_normal((n_times, n_levels, rows, columns), dtype=np.float32)
    series = xr.DataArray(
        np.sqrt(level.values)[:, None] * np.linspace(1, 2, n_levels, dtype=np.float32)[:, None, None] + 0.3 * noise,
        dims=("time", "level", "lat", "lon"),
        coords={"time": level["time"], "lat": level["lat"], "lon": level["lon"]},
    )
    model = gc.CNMMForecaster(max_steps=N_STEPS, random_state=0, verbose=0)
    before = resident()
    seconds, peak = watched(lambda: model.fit(series))
    return {"seconds": seconds, "gib": (peak - before) / GIB}


def search(path: Path, gigabytes: float) -> dict[str, float]:
    """Return what a search of three candidates and three folds reads, over the size of the store."""
    write(path, int(gigabytes * 1e9 / (4 * np.prod(SHAPE))), SHAPE)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    series = xr.open_zarr(path)["precip"]
    estimator = gc.LinearForecaster(climatology="mean", horizon=5, random_state=0)
    before, start = bytes_read(), time.perf_counter()
    GridSearchCV(estimator, {"lags": [1, 2, 3]}, cv=gc.WindowSplitter(3), refit=False).fit(series)
    return {"read": (bytes_read() - before) / size, "seconds": time.perf_counter() - start}


def bytes_read() -> int:
    """Return what this process has read from files, in bytes."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def in_bands(shape: tuple[int, int]) -> dict[str, float]:
    """Return the largest difference of a step of the transition in bands, relative, and its time against the whole."""
    torch.manual_seed(0)
    rows, columns = (n // 4 * 4 for n in shape)
    network = DeepTransition(6, 96, 16, 1, 3, 4, downsampling=4, local=True, periodic=(False, True)).eval()
    inputs = torch.randn(1, 6, rows, columns), torch.zeros(1, 0, rows // 4, columns // 4), None
    made: dict[str, tuple[torch.Tensor, ...]] = {}
    seconds: dict[str, list[float]] = {"whole": [], "bands": []}
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.05 * torch.randn_like(weights)
        for name in list(seconds) * 3:
            start = time.perf_counter()
            if name == "whole":
                made[name] = network(*inputs)
            else:
                made[name] = bands.in_bands(network, inputs, rows // 4, network.reach, network.around)
            seconds[name].append(time.perf_counter() - start)
    differences = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(*made.values(), strict=True)]
    whole, banded = (float(np.median(times)) for times in seconds.values())
    return {"difference": max(differences), "time": banded / whole}


def globe(path: Path, shape: tuple[int, int]) -> dict[str, float]:
    """Return peak memory, of the whole process, and seconds of a fit and of forecasts."""
    write_globe(path, shape)
    series = xr.open_zarr(path)["t2m"]
    model = gc.CNMMForecaster(max_steps=N_STEPS, random_state=0, verbose=0)
    found = {}
    stages: dict[str, Callable[[], Any]] = {
        "fit": lambda: model.fit(series),
        "predict": lambda: model.predict(LEADS),
        "samples": lambda: model.predict_samples(LEADS, n_samples=5),
    }
    for name, stage in stages.items():
        found[f"{name}_seconds"], peak = watched(stage)
        found[f"{name}_gib"] = peak / GIB
        print(name, found, flush=True)
    return found


def write_globe(path: Path, shape: tuple[int, int]) -> None:
    """Write hourly fields: a day, patterns that move along the parallels, and noise."""
    rng = np.random.default_rng(0)
    lat, lon = np.linspace(90, -90, shape[0]), 360 / shape[1] * np.arange(shape[1])
    wave, north = np.deg2rad(lon), np.deg2rad(lat)[:, None]
    phases = rng.uniform(0, 2 * np.pi, 12)
    for first in range(0, HOURS, CHUNK):
        hours = first + np.arange(CHUNK)
        fields = np.empty((CHUNK, *shape), dtype=np.float32)
        for i, hour in enumerate(hours):
            day = 5 * np.cos(north) * np.cos(2 * np.pi * hour / 24 + wave)
            moving = sum(
                np.cos(k * wave - 0.02 * k * hour + p) * np.cos((k + 2) * north + p) for k, p in enumerate(phases, 1)
            )
            fields[i] = 290 - 40 * np.sin(north) ** 2 + day + moving + 0.1 * rng.standard_normal(shape)
        times = np.datetime64("2020-01-01T00", "ns") + hours.astype("timedelta64[h]")
        coords = {"time": times, "latitude": lat, "longitude": lon}
        part = xr.DataArray(fields, dims=("time", "latitude", "longitude"), coords=coords, attrs={"units": "K"})
        data = part.to_dataset(name="t2m").chunk(time=CHUNK)
        if first:
            data.to_zarr(path, append_dim="time", zarr_format=2)
        else:
            units = {"time": {"units": "hours since 2020-01-01", "dtype": "int64"}}
            data.to_zarr(path, encoding=units, zarr_format=2)


if __name__ == "__main__":
    main()
