"""Memory and speed of `fit` against the size of an archive: ``python asv_bench/archive.py --out docs/results``.

Writes Zarr archives of 1 and 8 GB (ten years again and again) and of grids of 32 x 32 to 256 x 256 to a scratch folder,
fits each in a process of its own with ``buffer_bytes`` of 256 MiB, and removes them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from compare import machine

import gridcast as gc

SHAPE, CHUNK = (72, 144), 100
BUFFER_BYTES = 256 * 2**20
GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 8])
    parser.add_argument("--grids", type=int, nargs="*", default=[32, 64, 128, 256])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"archives": [], "grids": []}
    for gigabytes in arguments.gigabytes:
        n_times = int(gigabytes * 1e9 / (4 * np.prod(SHAPE)))
        found["archives"].append({"gigabytes": gigabytes} | apart(n_times, SHAPE, 36, 200))
        print(found["archives"][-1], flush=True)
    for size in arguments.grids:
        n_steps = max(40, 60 * 32**2 // size**2)  # enough for each stage to have its share
        found["grids"].append({"size": size} | apart(300, (size, size), None, n_steps))
        print(found["grids"][-1], flush=True)
    if arguments.out:
        (arguments.out / "archive.json").write_text(json.dumps(found | machine(), indent=1))


def apart(n_times: int, shape: tuple[int, int], patch_size: int | None, n_steps: int) -> dict[str, float]:
    """Measure in a fresh process."""
    folder = Path(tempfile.mkdtemp())
    try:
        write(folder / "series.zarr", n_times, shape)
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            return pool.apply(measure, (folder / "series.zarr", patch_size, n_steps))
    finally:
        shutil.rmtree(folder)


def write(path: Path, n_times: int, shape: tuple[int, int]) -> None:
    """Write smooth fields with a yearly cycle, the same ten years again and again."""
    decade = gc.datasets.make_precipitation(n_times=min(n_times, 700), shape=shape, random_state=0).values
    index = np.arange(n_times) % len(decade)
    blocks = [
        da.from_delayed(lazy_selection(decade, index[i : i + CHUNK]), (len(index[i : i + CHUNK]), *shape), np.float32)
        for i in range(0, n_times, CHUNK)
    ]
    series = xr.DataArray(da.concatenate(blocks), dims=("time", "lat", "lon"), name="precip")
    series.to_dataset().to_zarr(path, zarr_format=2)


def lazy_selection(decade: np.ndarray, index: np.ndarray) -> Any:
    """Return a lazy selection."""
    return dask.delayed(lambda: decade[index])()


def measure(path: Path, patch_size: int | None, n_steps: int) -> dict[str, float]:
    """Fit from a store; return peak memory above that before, in GiB, and frames per second of the training."""
    series = xr.open_zarr(path)["precip"]
    model = gc.CNMMForecaster(
        max_epochs=1,
        max_steps=n_steps,
        patch_size=patch_size,
        training=gc.Training(buffer_bytes=BUFFER_BYTES, validation_fraction=0.0),
        random_state=0,
        verbose=0,
    )
    before = resident()
    seconds, peak = watched(lambda: model.fit(series))
    record = model.history_[0]
    return {
        "peak_gib": (peak - before) / GIB,
        "frames_per_second": n_steps * model.batch_size * model.window / record["seconds"],
        "fit_seconds": seconds,
        "training_seconds": record["seconds"],
        "largest_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
    }


def watched(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds of a call and the largest resident memory of this process while it runs, in bytes."""
    peak, stop = [resident()], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        call()
    finally:
        seconds = time.perf_counter() - start
        stop.set()
        watcher.join()
    return seconds, peak[0]


def resident() -> float:
    """Return the resident memory of this process in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * float(status.split("VmRSS:")[1].split()[0])


if __name__ == "__main__":
    main()
