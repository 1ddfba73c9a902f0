"""Kill a training at fifty random moments: every checkpoint opens, and the end is that of an uninterrupted training.

``python asv_bench/kills.py --out docs/results`` writes ``kills.json`` and exits with 1 where either does not hold.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from compare import machine

import gridcast as gc
from gridcast.training.checkpoints import BEST, LAST, read_best, unpack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a process that forks must not have threads
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        killed, whole = Path(folder) / "killed", Path(folder) / "whole"
        opened = [kill(killed, draw.uniform(0.5, 2.0)) for _ in range(arguments.kills)]
        ends = [finish(path) for path in (killed, whole)]
    result = {
        "kills": arguments.kills,
        "checkpoints that open": sum(step is not None for step in opened),
        "step of the training at each kill": opened,
        "same forecast as without kills": bool(np.array_equal(*ends)),
    } | machine()
    (arguments.out / "kills.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    if result["checkpoints that open"] < arguments.kills or not result["same forecast as without kills"]:
        raise SystemExit(1)


def fit(folder: Path) -> None:
    """Train a small model that writes its state after every step."""
    x = np.random.default_rng(0).normal(size=(150, 12, 12)).astype(np.float32).cumsum(0)
    model = gc.ConvLSTMForecaster(
        rnn_channels=4, window=8, context=4, max_epochs=200, max_steps=None, random_state=0, device="cpu", verbose=0,
        training=gc.Training(checkpoint_dir=folder, checkpoint_every=1),
    )  # fmt: skip
    np.save(folder / "forecast.npy", model.fit(x).predict(3).values)


def kill(folder: Path, seconds: float) -> int | None:
    """Go on with a training and kill it; return its step, by the checkpoint, or None where one does not open."""
    process = multiprocessing.get_context("fork").Process(target=fit, args=(folder,))
    process.start()
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    process.join()
    try:
        if (folder / BEST).exists():
            read_best(folder)
        state = unpack(folder / LAST)["state"]
    except Exception as error:  # what a broken file raises is open
        print(f"{folder}: {error}")
        return None
    return int(state["moments"]["state"][0]["step"])


def finish(folder: Path) -> np.ndarray:
    """Train to the end and return a forecast."""
    folder.mkdir(exist_ok=True)
    fit(folder)
    return np.load(folder / "forecast.npy")


if __name__ == "__main__":
    main()
