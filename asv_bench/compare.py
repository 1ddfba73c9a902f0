"""Hold gridcast against the usual ways, side by side: ``python asv_bench/compare.py --out docs/results``.

One process, alternating runs, medians of at least five; the exit status is 1 where a bar does not hold. Measured are:

- a training step of the paper's CNMM at its CMAP sizes against the same networks in a Pyro model with one
  ``pyro.sample`` a time step, and its share of the rate of matrix products of this machine;
- windows from a Zarr store against xbatcher with a torch DataLoader, and bytes read per byte needed;
- one-step forecasts of 20 steps in 100 windows against a loop of shifted windows;
- `fit` from a Zarr store against `fit` from memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyro
import torch
import xarray as xr
from torch.utils.flop_counter import FlopCounterMode
from usual import UsualCNMM, xbatcher_windows

import gridcast as gc
from gridcast.data.grid import unwrap
from gridcast.forecasters.cnmm import TAUGHT
from gridcast.training.engine import make_fabric
from gridcast.training.streaming import WindowStream

Key = TypeVar("Key")
BATCH, WINDOW = 16, 30
EVERY = 10  # of the windows are forecast in a loop, which takes minutes
BARS = {
    "step, fp32, frames per second against the usual": 2.0,
    "step, bf16-mixed, frames per second against the usual": 3.0,
    "step, fp32, share of the matrix-product rate": 0.7,
    "step of the default, bf16-mixed, speed against fp32": 1.7,
    "one-step forecasts against a loop": 12.0,
    "windows from Zarr against xbatcher": 20.0,
    "fit from Zarr against fit from memory": 0.95,
}
CEILINGS = {
    "bytes read per byte needed": 1.1,
    "operations of a default step against the paper's, mean of its stages": 4.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    measured: dict[str, float] = {}
    for measure in (training_step, one_step_forecasts, streaming, fitting):
        measured |= measure(arguments.repeats)
        print("\n".join(f"{name}: {value:.4g}" for name, value in measured.items()), flush=True)
    failed = [name for name, bar in BARS.items() if measured[name] < bar]
    failed += [name for name, bar in CEILINGS.items() if measured[name] > bar]
    if arguments.out:
        report = {"measured": measured, "bars": BARS | CEILINGS, "failed": failed} | machine()
        (arguments.out / "speed.json").write_text(json.dumps(report, indent=1))
    print(f"below their bar: {failed or 'none'}")
    sys.exit(bool(failed))


def training_step(repeats: int) -> dict[str, float]:
    """Measure a step of the paper's CNMM, against the usual and against the machine."""
    torch.manual_seed(0)
    series = 80 * xr.DataArray(np.random.default_rng(0).random((40, 72, 72), np.float32), dims=("time", "lat", "lon"))
    settings = gc.presets.paper("cnmm", "cmap") | {"max_epochs": 1, "max_steps": 1, "verbose": 0}
    module = gc.CNMMForecaster(**settings, random_state=0).fit(series).module_.train()
    usual = UsualCNMM(module)
    x = torch.rand(BATCH, WINDOW, 1, 72, 72) - 1
    mask = torch.ones_like(x)
    steps = {name: ours(module, x, mask, name) for name in ("32", "bf16-mixed")}
    svi = pyro.infer.SVI(usual.model, usual.guide, pyro.optim.ClippedAdam({"lr": 1e-4}), pyro.infer.Trace_ELBO())
    with pyro.get_param_store().scope():
        seconds = alternate(steps | {"usual": lambda: svi.step(x, 0.5)}, repeats)
    flops = operations(steps["32"])
    rate = flops / seconds["32"]
    default = gc.CNMMForecaster(max_epochs=1, max_steps=1, verbose=0, random_state=0).fit(series).module_.train()
    # a step of each stage, and the share of the training that it takes
    ends = (0.0, *TAUGHT, 1.0)
    middles, shares = [(before + after) / 2 for before, after in itertools.pairwise(ends)], np.diff(ends)
    stages = {(i, of): ours(default, x, mask, of, at) for i, at in enumerate(middles) for of in ("32", "bf16-mixed")}
    own = alternate(stages, repeats)
    default_flops = sum(share * operations(stages[i, "32"]) for i, share in enumerate(shares))
    mean, mean_bf16 = (sum(share * own[i, of] for i, share in enumerate(shares)) for of in ("32", "bf16-mixed"))
    peak = matrix_product_rate()
    return {
        "step, fp32, seconds": seconds["32"],
        "step, bf16-mixed, seconds": seconds["bf16-mixed"],
        "step, usual, seconds": seconds["usual"],
        "step, fp32, GFLOP": flops / 1e9,
        "operations of a default step against the paper's, mean of its stages": default_flops / flops,
        "matrix products, GFLOP/s": peak / 1e9,
        "convolutions, GFLOP/s": convolution_rate() / 1e9,
        "step, fp32, frames per second against the usual": seconds["usual"] / seconds["32"],
        "step, bf16-mixed, frames per second against the usual": seconds["usual"] / seconds["bf16-mixed"],
        "step, fp32, share of the matrix-product rate": rate / peak,
        "step of the default CNMM, mean of its stages, seconds": float(mean),
        "step of the default, bf16-mixed, speed against fp32": float(mean / mean_bf16),
    } | {f"step of the default, stage {i + 1}, {of}, seconds": value for (i, of), value in own.items()}


def operations(call: Callable[[], None]) -> int:
    """Return the floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def ours(module: Any, x: torch.Tensor, mask: torch.Tensor, precision: str, progress: float = 0.5) -> Callable[[], None]:
    """Return a training step as `gridcast.training.loop` takes it after a share of the training."""
    fabric = make_fabric("cpu", precision)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-5)

    def step() -> None:
        optimizer.zero_grad()
        with fabric.autocast():
            loss, _ = module.loss(x, mask, None, progress)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 10.0)
        optimizer.step()

    return step


def matrix_product_rate() -> float:
    """Return FLOP per second of large fp32 matrix products."""
    a = torch.rand(3000, 3000)
    out = torch.empty_like(a)
    seconds = alternate({"mm": lambda: torch.mm(a, a, out=out)}, 9)["mm"]
    return 2 * 3000**3 / seconds


def convolution_rate() -> float:
    """Return FLOP per second of a 3 x 3 convolution of 64 to 64 channels, fp32: what the processor can do."""
    x, weight = torch.rand(BATCH, 64, 36, 36), torch.rand(64, 64, 3, 3)
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    with torch.no_grad():
        seconds = alternate({"conv": lambda: torch.nn.functional.conv2d(x, weight, padding=1)}, 9)["conv"]
    return 2 * BATCH * 36 * 36 * 64 * 64 * 9 / seconds


def one_step_forecasts(repeats: int) -> dict[str, float]:
    """Measure 20 one-step forecasts in each of 100 windows."""
    windows = gc.datasets.make_heat(4, n_windows=25, window=30, shape=(32, 32), random_state=0)
    model = gc.CNMMForecaster(max_epochs=1, max_steps=1, verbose=0, random_state=0).fit(windows)
    context = model.context

    def loop() -> None:
        for window in windows[::EVERY]:
            for target in range(10, 30):
                model.predict(window[target - context : target], 1)

    def batched() -> None:
        model.predict(windows[:, :-1], 20, mode="one_step")

    seconds = alternate({"loop": loop, "batched": batched}, max(3, repeats // 2))
    return {"one-step forecasts against a loop": EVERY * seconds["loop"] / seconds["batched"]}


def streaming(repeats: int) -> dict[str, float]:
    """Measure windows per second from a Zarr store, and what is read for them."""
    with tempfile.TemporaryDirectory() as folder:
        series = archive(Path(folder), n_times=3000)
        values = unwrap(series)[0].values
        starts = gc.WindowSplitter(window=WINDOW).windows(len(series))
        windows = np.stack([np.zeros_like(starts), starts], axis=1)
        default = np.zeros(values.shape[2:], np.float32)

        def epoch() -> None:
            for _ in WindowStream(values, windows, WINDOW, BATCH, default, np.random.default_rng(0)):
                pass

        def usual(n_batches: int = 10) -> None:
            for _ in zip(range(n_batches), xbatcher_windows(series, WINDOW, BATCH), strict=False):
                pass

        seconds = alternate({"ours": epoch, "usual": usual}, repeats)
        before = bytes_read()
        epoch()
        read = bytes_read() - before
        stored = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    per_second = len(windows) / seconds["ours"], 10 * BATCH / seconds["usual"]
    return {
        "windows per second from Zarr": per_second[0],
        "windows from Zarr against xbatcher": per_second[0] / per_second[1],
        "bytes read per byte needed": read / stored,
    }


def fitting(repeats: int) -> dict[str, float]:
    """Measure the frames per second of the same training from Zarr and from memory."""
    with tempfile.TemporaryDirectory() as folder:
        lazy = archive(Path(folder), n_times=1200)
        held = lazy.load().copy()
        sources = {"zarr": xr.open_zarr(Path(folder) / "series.zarr")["precip"], "memory": held}
        found: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(max(3, repeats // 2)):
            for name, series in sources.items():
                model = gc.CNMMForecaster(max_epochs=1, max_steps=60, patch_size=36, verbose=0, random_state=0)
                found[name].append(model.fit(series).history_[0]["seconds"])
    return {"fit from Zarr against fit from memory": float(np.median(found["memory"]) / np.median(found["zarr"]))}


def archive(folder: Path, n_times: int) -> xr.DataArray:
    """Write a store of global 2.5 degree fields in chunks of 50 steps and open it."""
    series = gc.datasets.make_precipitation(n_times=n_times, random_state=0)
    series.chunk(time=50).to_dataset(name="precip").to_zarr(folder / "series.zarr", zarr_format=2)
    return xr.open_zarr(folder / "series.zarr")["precip"]


def bytes_read() -> int:
    """Return what this process has read from files so far."""
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def alternate(calls: dict[Key, Callable[[], Any]], repeats: int) -> dict[Key, float]:
    """Return the median seconds of each call, taken in turns after one that does not count."""
    seconds: dict[Key, list[float]] = {name: [] for name in calls}
    for i in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if i:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def machine() -> dict[str, Any]:
    """Return where and with what a figure was measured."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(),
        "versions": {"gridcast": gc.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    }


if __name__ == "__main__":
    main()
