"""What other work on the machine costs: ``python asv_bench/busy.py --out docs/results``.

Each stage alone, and with a process on each core that never waits, in turns; and a fit with the threads that gridcast
chooses against one thread. The exit status is 1 where a bar does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compare import machine

import gridcast as gc

GRIDS = {"36 x 72": (36, 72), "72 x 144": (72, 144)}
N_TIMES, N_STEPS = 73, 30  # of the series and of a training
BARS = {"speed of the chosen threads, 36 x 72": 1.0, "speed of the chosen threads, 72 x 144": 1.5}
MOST_SLOWER = 2.3  # times, with a busy neighbour on each core
BUSY = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    parts: list[Callable[[], dict[str, float]]] = [lambda: neighbours(GRIDS["36 x 72"], arguments.repeats)]
    if torch.get_num_threads() > 1:
        parts += [lambda grid=grid: threads(grid, arguments.repeats) for grid in GRIDS]
    measured: dict[str, float] = {}
    failed: list[str] = []
    for part in parts:
        measured |= part()
        print(measured, flush=True)
        bars = {name: BARS.get(name, MOST_SLOWER) for name in measured}
        failed = [name for name, v in measured.items() if (v < bars[name] if name in BARS else v > bars[name])]
        if arguments.out:
            report = {"measured": measured, "bars": bars, "failed": failed} | machine()
            (arguments.out / "busy.json").write_text(json.dumps(report, indent=1))
    print(f"short of their bar: {failed or 'none'}")
    sys.exit(bool(failed))


def threads(grid: str, repeats: int) -> dict[str, float]:
    """Return the seconds of a fit on one thread over those of one with the threads that are chosen."""
    series = gc.datasets.make_precipitation(n_times=N_TIMES, shape=GRIDS[grid], random_state=0)
    most, seconds = torch.get_num_threads(), {}
    for n in (most, 1) * (1 + repeats):
        torch.set_num_threads(n)  # what the user allows
        seconds.setdefault(n, []).append(timed(lambda: forecaster().fit(series)))
    torch.set_num_threads(most)
    alone, chosen = (np.median(seconds[n][-repeats:]) for n in (1, most))
    return {f"speed of the chosen threads, {grid}": float(alone / chosen)}


def neighbours(shape: tuple[int, int], repeats: int) -> dict[str, float]:
    """Return how many times longer each stage takes with a busy process on each core."""
    series = gc.datasets.make_precipitation(n_times=N_TIMES, shape=shape, random_state=0)
    model, linear = forecaster().fit(series), gc.LinearForecaster(random_state=0)
    linear.fit(series)
    gapped = series.where(series.time != series.time[70])
    stages: dict[str, Callable[[], Any]] = {
        "fit of a CNMM": lambda: forecaster().fit(series),
        "predict": lambda: model.predict(20),
        "predict_samples": lambda: model.predict_samples(20, n_samples=20),
        "fit of a LinearForecaster": lambda: gc.LinearForecaster(random_state=0).fit(series),
        "reconstruct": lambda: linear.reconstruct(gapped),
    }
    seconds: dict[tuple[str, bool], list[float]] = {}
    for _ in range(1 + repeats):
        for name, stage in stages.items():
            seconds.setdefault((name, False), []).append(timed(stage))
            with busy():
                seconds.setdefault((name, True), []).append(timed(stage))
    medians = {key: np.median(values[1:]) for key, values in seconds.items()}  # the first does not count
    return {f"times longer, {name}": float(medians[name, True] / medians[name, False]) for name in stages}


@contextmanager
def busy() -> Iterator[None]:
    """Keep every core busy with a process of its own."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    time.sleep(1)  # until they run
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def forecaster() -> gc.CNMMForecaster:
    """Return what is fitted: the default with few steps."""
    return gc.CNMMForecaster(max_steps=N_STEPS, random_state=0, verbose=0)


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
