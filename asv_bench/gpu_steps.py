"""What the parts of `gpu.py` are made of: their sizes, training steps, rates, simulations."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from compare import alternate

import gridcast as gc
from gridcast.training.engine import make_fabric
from gridcast.training.muon import Muon

PRECISIONS = {"fp32": ("32", "highest"), "tf32": ("32", "high"), "bf16": ("bf16-mixed", "high")}


@dataclass(frozen=True)
class Scale:
    """How much each part does, on a GPU or small.

    Parameters
    ----------
    device : str
    products, step_size, repeats : int
        Side of a matrix; of a field in a step; steps that are timed.
    batch : (int, int)
        Windows of a step, and their length.
    horizon : int
        Leads that are decided.
    heat : tuple
        Simulations, windows of each, side of a field; seconds for the default and the paper's CNMM.
    simulations : tuple
        Most simulations of turbulence, side of a field, seconds to make them and to train.
    large : (int, int)
    archive : tuple
        Steps and steps of training.
    """

    device: str
    products: int
    step_size: int
    repeats: int
    batch: tuple[int, int]
    horizon: int
    heat: tuple[int, int, int, float, float]
    simulations: tuple[int, int, float, float]
    large: tuple[int, int]
    archive: tuple[int, int]


def on_gpu(scale: Scale) -> bool:
    return scale.device == "cuda"


def best_precision(scale: Scale) -> str:
    return "bf16-mixed" if on_gpu(scale) else "32"


@contextmanager
def rounding(level: str) -> Iterator[None]:
    """Let fp32 products be rounded as `level` says inside; see `torch.set_float32_matmul_precision`."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(level)
    torch.backends.cudnn.allow_tf32 = level != "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def product_rate(scale: Scale, precision: str) -> float:
    """Return FLOP per second of large matrix products."""
    n, dtype = scale.products, torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.rand(n, n, device=scale.device).to(dtype)
    out = torch.empty_like(a)
    with rounding(PRECISIONS[precision][1]):
        seconds = alternate({"mm": finished(lambda: torch.mm(a, a, out=out), scale)}, 5)["mm"]
    return 2 * n**3 / seconds


def finished(call: Callable[[], Any], scale: Scale) -> Callable[[], None]:
    """Return the call with the wait for the device."""

    def run() -> None:
        call()
        if on_gpu(scale):
            torch.cuda.synchronize()

    return run


def frames(scale: Scale) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch of windows of the paper's CMAP experiment, and its mask."""
    size = scale.step_size
    x = torch.rand(*scale.batch, 1, size, size, device=scale.device) - 1
    return x, torch.ones_like(x)


def fitted(name: str, scale: Scale) -> Any:
    """Return the module of a CNMM after one step, in training."""
    size = scale.step_size
    values = 80 * np.random.default_rng(0).random((40, size, size), np.float32)
    settings = gc.presets.paper("cnmm", "cmap") if name == "paper" else {}
    settings |= {
        "horizon": scale.horizon,
        "max_epochs": 1,
        "max_steps": 1,
        "verbose": 0,
        "device": scale.device,
        "random_state": 0,
    }
    model = gc.CNMMForecaster(**settings).fit(xr.DataArray(values, dims=("time", "lat", "lon")))
    return model.module_.train()


def stepper(
    module: Any, x: torch.Tensor, mask: torch.Tensor, precision: str, progress: float = 0.5
) -> Callable[[], None]:
    """Return a training step as the training loop takes it after a share of the training."""
    fabric = make_fabric(x.device.type, precision)
    optimizer = Muon(module.parameters(), lr=1e-5)

    def step() -> None:
        optimizer.zero_grad()
        with fabric.autocast():
            loss, _ = module.loss(x, mask, None, progress)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 10.0)
        optimizer.step()

    return step


def graphed(module: Any, x: torch.Tensor, mask: torch.Tensor, scale: Scale) -> dict[str, Any]:
    """Return the seconds of loss and gradient, launched one by one and replayed as a CUDA graph."""
    if not on_gpu(scale):
        return {"failed": "no GPU"}

    def gradient() -> None:
        for p in module.parameters():
            p.grad = None
        module.loss(x, mask, None, 0.5)[0].backward()

    try:
        aside = torch.cuda.Stream()
        with torch.cuda.stream(aside):  # a graph is captured after a few calls beside the default stream
            for _ in range(3):
                gradient()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            gradient()
        calls = {"eager": finished(gradient, scale), "graph": finished(graph.replay, scale)}
        return alternate(calls, scale.repeats)
    except RuntimeError as error:
        return {"failed": str(error)[:300]}


def simulations(most: int, size: int, seconds: float) -> xr.DataArray:
    """Return as many simulations of turbulence as all cores make in the time, (sample, time, y, x)."""
    began, n_cores = time.perf_counter(), os.cpu_count() or 1
    if most < n_cores:  # not worth other processes
        return simulate(0, most, size)
    made: list[xr.DataArray] = []
    with multiprocessing.get_context("spawn").Pool(n_cores) as pool:
        while sum(map(len, made)) < most and (not made or time.perf_counter() - began < seconds):
            first = len(made)
            made += pool.starmap(simulate, [(first + i, min(2, most), size) for i in range(n_cores)])
    return xr.concat(made, "sample", join="override")[:most]


def simulate(seed: int, n: int, size: int) -> xr.DataArray:
    """Return simulations of one seed; a function of the module, so that other processes find it."""
    torch.set_num_threads(1)
    return gc.datasets.make_turbulence(n, shape=(size, size), random_state=seed)
