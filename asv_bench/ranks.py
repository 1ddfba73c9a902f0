"""Two processes against one, same global batch: ``python asv_bench/ranks.py --out docs/results``.

Runs ``examples/scaling/train_parallel.py`` under torchrun with one thread a process, and compares the loss curves and
the seconds of the epochs after the first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from compare import machine

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "scaling" / "train_parallel.py"
EPOCHS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["cnmm", "convlstm"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for model in arguments.models:
        one, two = (train(model, n) for n in (1, 2))
        apart = [abs(a["loss"] - b["loss"]) / abs(a["loss"]) for a, b in zip(one, two, strict=True)]
        seconds = [sum(record["seconds"] for record in history[1:]) for history in (one, two)]
        found[model] = {
            "loss, relative difference by epoch": apart,
            "speed of two against one": seconds[0] / seconds[1],
        }
        print(model, found[model], flush=True)
    if arguments.out:
        (arguments.out / "ranks.json").write_text(json.dumps(found | machine(), indent=1))


def train(model: str, n_processes: int) -> list[dict[str, float]]:
    """Return the history of a training in so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "history.json"
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(n_processes)]
        script = [str(SCRIPT), "--model", model, "--epochs", str(EPOCHS), "--out", str(out)]
        subprocess.run([*start, *script], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
        return json.loads(out.read_text())


if __name__ == "__main__":
    main()
