"""What a GPU does for gridcast, in one call: ``python asv_bench/gpu.py --out docs/results``.

Needs one GPU, gridcast's own dependencies, 5 GB of a scratch folder (``--scratch``) and eight minutes
(``--minutes``). On a CPU, or with ``--small``, the same parts run small, in about a minute.

Each part prints a JSON line as soon as it is done, so that a run that is cut keeps what it has; ``--out`` also gets
``gpu.json``. A part that fails says so in its line, and the next one goes on. The parts:

- ``device``: the card, its driver, and the rates of its matrix products;
- ``agreement``: forecasts of one model on CPU and GPU, and whether its weights survive the way there and back;
- ``steps``: training steps of the paper's and the default CNMM against the usual Pyro model of one ``pyro.sample`` a
  time step, eager and as a CUDA graph, and their shares of the product rate;
- ``profile``: the rows that take the most time of a step, and the share of it in which the GPU waits;
- ``heat``: the default and the paper's CNMM on the heat experiment, beside the Kalman filter's error;
- ``turbulence``: the default CNMM on as many simulations as are made in the time for it;
- ``large``: peak memory of a fit on fields of 721 x 1440;
- ``stream``: frames per second of a fit that streams a Zarr archive against one from memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from archive import write
from compare import BATCH, WINDOW, alternate, machine
from gpu_steps import (
    PRECISIONS,
    Scale,
    best_precision,
    finished,
    fitted,
    frames,
    graphed,
    on_gpu,
    product_rate,
    rounding,
    simulations,
    stepper,
)
from torch.utils.flop_counter import FlopCounterMode

import gridcast as gc
from gridcast.training.engine import make_fabric

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "paper"))


def main() -> None:
    arguments = parse()
    gpu = torch.cuda.is_available() and not arguments.small
    scale = (
        Scale(
            "cuda",
            8192,
            72,
            10,
            (BATCH, WINDOW),
            20,
            (100, 30, 100, 90.0, 90.0),
            (1000, 64, 45.0, 60.0),
            (721, 1440),
            (100_000, 2000),
        )
        if gpu
        else Scale("cpu", 256, 16, 1, (2, 8), 3, (2, 2, 16, 0.5, 0.5), (1, 16, 0.5, 0.5), (24, 32), (40, 4))
    )
    ends = time.perf_counter() + 60 * arguments.minutes
    found: dict[str, Any] = {}
    for name, part in PARTS.items():
        if (arguments.only and name not in arguments.only) or time.perf_counter() > ends:
            continue
        began = time.perf_counter()
        try:
            figures = part(scale, arguments.scratch)
        except Exception as error:  # the other parts are worth their time all the same
            figures = {"failed": f"{type(error).__name__}: {error}", "where": traceback.format_exc()[-600:]}
        found[name] = figures | {"seconds": round(time.perf_counter() - began, 1)}
        print(json.dumps({name: found[name]}), flush=True)
        if arguments.out:
            (arguments.out / "gpu.json").write_text(json.dumps(found | {"small": not gpu} | machine(), indent=1))
        if gpu:
            torch.cuda.empty_cache()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for gpu.json")
    parser.add_argument("--scratch", type=Path, help="folder for archives and models; that of the system by default")
    parser.add_argument("--minutes", type=float, default=8.0, help="no part begins after these")
    parser.add_argument("--small", action="store_true", help="as on a CPU")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="some parts")
    return parser.parse_args()


# The parts


def device(scale: Scale, scratch: Path | None) -> dict[str, Any]:
    """Return the card and the FLOP per second of its matrix products."""
    del scratch
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    card = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip() if on_gpu(scale) else "none"
    rates = {name: product_rate(scale, name) / 1e12 for name in PRECISIONS}
    return {"card": card, "cuda": torch.version.cuda, "TFLOP per second": rates}


def agreement(scale: Scale, scratch: Path | None) -> dict[str, Any]:
    """Return how far forecasts of the same weights differ between CPU and device."""
    series = xr.DataArray(np.random.default_rng(0).random((60, 24, 40), np.float32), dims=("time", "lat", "lon"))
    settings = {"max_steps": 8, "window": 8, "context": 4, "horizon": scale.horizon, "random_state": 0, "verbose": 0}
    differences, equal = {}, True
    with tempfile.TemporaryDirectory(dir=scratch) as folder, rounding("highest"):
        for began in ("cpu", scale.device):
            path, again = Path(folder) / "model.gc", Path(folder) / "again.gc"
            model = gc.CNMMForecaster(device=began, **settings).fit(series)
            model.save(path)
            other = gc.load(path, device="cpu" if began != "cpu" else scale.device)
            other.save(again)
            back = gc.load(again, device=began)
            equal &= all(
                torch.equal(a, b)
                for a, b in zip(model.module_.state_dict().values(), back.module_.state_dict().values(), strict=True)
            )
            here, there = model.predict(20), other.predict(20)
            differences[f"trained on {began}"] = float(abs(here - there).max() / abs(here).max())
    return {"largest relative difference of forecasts": differences, "weights bit-equal": equal}


def steps(scale: Scale, scratch: Path | None) -> dict[str, Any]:
    """Return seconds of training steps, frames per second against the usual model, and shares of the product rate."""
    del scratch
    import pyro
    from usual import UsualCNMM

    found: dict[str, Any] = {}
    x, mask = frames(scale)
    modules = {name: fitted(name, scale) for name in ("paper", "default")}
    flops = {}
    for name, module in modules.items():
        with FlopCounterMode(display=False) as counter:
            stepper(module, x, mask, "32")()
        flops[name] = counter.get_total_flops()
    usual = UsualCNMM(modules["paper"]).to(scale.device)
    svi = pyro.infer.SVI(usual.model, usual.guide, pyro.optim.ClippedAdam({"lr": 1e-4}), pyro.infer.Trace_ELBO())
    with pyro.get_param_store().scope():
        for precision, (autocast, matmul) in PRECISIONS.items():
            fabric = make_fabric(scale.device, autocast)

            def take_usual(fabric: Any = fabric) -> None:
                with fabric.autocast():
                    svi.step(x, 0.5)

            calls: dict[str, Callable[[], Any]] = {n: stepper(m, x, mask, autocast) for n, m in modules.items()}
            calls["default, filter"] = stepper(modules["default"], x, mask, autocast, 0.97)
            calls["usual"] = take_usual
            with rounding(matmul):
                seconds = alternate({n: finished(call, scale) for n, call in calls.items()}, scale.repeats)
                rate = product_rate(scale, precision)
            # the default's first stage forecasts one step of each window, the filter's all: seconds tell, not frames
            found[precision] = {"seconds": seconds} | {
                f"{name}: frames per second against the usual": seconds["usual"] / seconds[name] for name in modules
            }
            found[precision] |= {
                f"{name}: share of the product rate": flops[name] / seconds[name] / rate for name in modules
            }
    found["GFLOP"] = {name: flop / 1e9 for name, flop in flops.items()}
    found["as a CUDA graph, fp32"] = {name: graphed(module, x, mask, scale) for name, module in modules.items()}
    return found


def profile(scale: Scale, scratch: Path | None) -> dict[str, Any]:
    """Return the five rows of the profile that take the most time, and how much of a step the device waits."""
    del scratch
    found = {}
    x, mask = frames(scale)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if on_gpu(scale):
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    for name in ("paper", "default"):
        step = finished(stepper(fitted(name, scale), x, mask, "bf16-mixed" if on_gpu(scale) else "32"), scale)
        step()
        with torch.profiler.profile(activities=kinds) as profiled:
            began = time.perf_counter()
            step()
            wall = time.perf_counter() - began
        of = "self_device_time_total" if on_gpu(scale) else "self_cpu_time_total"
        rows = sorted(profiled.key_averages(), key=lambda row: -getattr(row, of))
        busy = sum(getattr(row, of) for row in rows) / 1e6
        found[name] = {
            "rows": {row.key: round(getattr(row, of) / 1e6, 5) for row in rows[:5]},
            "share of the time in which the device waits": max(0.0, 1 - busy / wall),
            "launches": sum(row.count for row in rows if getattr(row, of) > 0),
        }
    return found


def heat(scale: Scale, scratch: Path | None) -> dict[str, Any]:
    """Return the one-step error of the default and the paper's CNMM on the heat experiment, beside the limit."""
    del scratch
    from evaluate import CONTEXT, LENGTHS, last_of_windows, mean_squared
    from oracle import KalmanOracle

    n_simulations, n_windows, size, *seconds = scale.heat
    n_test = max(1, n_simulations // 10)
    train, test = (
        gc.datasets.make_heat(n, n_windows=n_windows, window=30, shape=(size, size), random_state=seed)
        for n, seed in ((n_simulations, 0), (n_test, 1))
    )
    test, factor = test[:: max(1, len(test) // 125)], 2 / 1000.0  # the paper scales 0 to 1000 K
    found: dict[str, Any] = {"windows": len(train)}

    def one_step(forecast: xr.DataArray) -> float:
        by_target = factor**2 * mean_squared(forecast, test).values[:, 0]
        return last_of_windows(by_target, LENGTHS[-1])

    for name, budget in zip(("default", "paper"), seconds, strict=True):
        parameters = {} if name == "default" else gc.presets.paper("cnmm", "heat")
        parameters |= {"transformer": gc.MinMaxTransformer(data_range=(0, 1000))}
        model = gc.CNMMForecaster(**parameters, horizon=scale.horizon, device=scale.device, random_state=0, verbose=0)
        model.set_params(context=CONTEXT, training__max_minutes=budget / 60, training__precision=best_precision(scale))
        began = time.perf_counter()
        model.fit(train)
        found[name] = {"fit seconds": time.perf_counter() - began, "epochs": len(model.history_)}
        found[name]["one-step MSE x 1e4"] = 1e4 * one_step(gc.backtest(model, test, 1))
    if size == 100:  # that of the paper, which the filter is written for
        limit = factor**2 * np.square(KalmanOracle(1.0).one_step(test.values, CONTEXT).mean - test.values[:, CONTEXT:])
        found["Kalman filter, one-step MSE x 1e4"] = 1e4 * float(limit.mean())
    return found


def turbulence(scale: Scale, scratch: Path | None) -> dict[str, Any]:
    """Return errors of the default CNMM by lead, in units of the variance."""
    del scratch
    most, size, seconds, training = scale.simulations
    made = simulations(most, size, seconds)
    n_test = min(16, len(made) // 5)
    train, test = made[n_test:], made[: max(n_test, 1)]
    settings = gc.Training(max_minutes=training / 60, precision=best_precision(scale))
    model = gc.CNMMForecaster(
        horizon=scale.horizon, periodic=("y", "x"), device=scale.device, training=settings, random_state=0, verbose=0
    )
    model.fit(train)
    variance, leads = float(train.var()), (1, 5, 10, 20)
    ahead = model.predict(test[:, :10], horizon=20)
    one = model.predict(test[:, :29], horizon=20, mode="one_step")
    squared = np.square(ahead.values - test.values[:, 10:]).mean((0, 2, 3)) / variance
    return {
        "simulations": len(train),
        "one-step NMSE": float(np.square(one.values - test.values[:, 10:]).mean() / variance),
        "NMSE by lead": {str(lead): float(squared[lead - 1]) for lead in leads},
        "epochs": len(model.history_),
    }


def large(scale: Scale, scratch: Path | None) -> dict[str, Any]:
    """Return the peak memory of a default fit on large fields, on the device."""
    del scratch
    series = gc.datasets.make_precipitation(n_times=60 if on_gpu(scale) else 30, shape=scale.large, random_state=0)
    if on_gpu(scale):
        torch.cuda.reset_peak_memory_stats()
    settings = gc.Training(max_minutes=0.5 if on_gpu(scale) else 0.02, precision=best_precision(scale))
    model = gc.CNMMForecaster(
        horizon=scale.horizon, device=scale.device, training=settings, random_state=0, verbose=0
    ).fit(series)
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu(scale) else None
    return {"shape": scale.large, "peak GiB": peak, "epochs": len(model.history_)}


def stream(scale: Scale, scratch: Path | None) -> dict[str, Any]:
    """Return the frames per second of a fit from a Zarr store and from memory."""
    n_times, n_steps = scale.archive
    shape = (72, 144) if on_gpu(scale) else (16, 16)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "series.zarr"
        write(path, n_times, shape)
        sources = {"zarr": xr.open_zarr(path)["precip"], "memory": xr.open_zarr(path)["precip"].load()}
        found: dict[str, Any] = {"GB": 4e-9 * n_times * shape[0] * shape[1]}
        for name, series in sources.items():
            settings = gc.Training(validation_fraction=0.0, precision=best_precision(scale))
            model = gc.CNMMForecaster(
                window=12,
                context=6,
                max_steps=n_steps,
                horizon=scale.horizon,
                device=scale.device,
                training=settings,
                verbose=0,
                random_state=0,
            ).fit(series)
            seconds = sum(record["seconds"] for record in model.history_)
            found[f"{name}, frames per second"] = n_steps * model.batch_size * model.window / seconds
    found["zarr against memory"] = found["zarr, frames per second"] / found["memory, frames per second"]
    # both trainings do the same steps: what one takes longer is the wait for data
    found["share of the time spent waiting for data"] = max(0.0, 1 - found["zarr against memory"])
    return found


PARTS = {part.__name__: part for part in (device, agreement, steps, profile, heat, turbulence, large, stream)}


if __name__ == "__main__":
    main()
