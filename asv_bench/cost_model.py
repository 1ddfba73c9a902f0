"""What training costs, from channel sizes: ``python asv_bench/cost_model.py`` writes ``docs/scaling.md``.

Operations and bytes for each frame come from `summary()` of each default model; the rates from
``docs/results/speed.json`` (`compare.py`) and ``docs/results/archive.json`` (`archive.py`) on the machine that they
name. What is assumed of other machines stands in ASSUMED and is called an assumption in the text.
"""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path
from typing import Any

import gridcast as gc
from gridcast.forecasters.patches import PATCH, patch_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
MODELS = {"CNMM": gc.CNMMForecaster, "DMM": gc.DMMForecaster, "ConvLSTM": gc.ConvLSTMForecaster}
DEFAULT = gc.CNMMForecaster()
WINDOW, STEPS = DEFAULT.window, DEFAULT.max_steps or 0
SEEN = STEPS * DEFAULT.batch_size * WINDOW  # frames
PLACES = {"36 x 72": (36, 72), "72 x 144": (72, 144), "181 x 360": (181, 360), "721 x 1440": (721, 1440)}
ROWS, COLUMNS, ARCHIVE_BYTES = 721, 1440, 1e12  # hourly ERA5 at a quarter of a degree
ASSUMED = {
    "one GPU, sustained in convolutions, bf16 [TFLOP/s]": 200.0,
    "reading, one machine with a local NVMe drive [GB/s]": 2.0,
    "reading, one machine from network storage [GB/s]": 0.5,
    "gradient exchange, GPU to GPU [GB/s]": 20.0,
}
GPU = 1e12 * next(iter(ASSUMED.values()))
TEXT = """# What training costs

Written by `python asv_bench/cost_model.py` from `docs/results/speed.json` and `docs/results/archive.json`.

## Operations and bytes for each frame

A convolution of k x k cells from n to m channels takes 2 k^2 n m operations for each cell of its result, forward, and
twice that backward. All of a network's convolutions have a fixed number of channels and act on the grid, on a half or
on a quarter of it, so **operations for each cell do not depend on the grid**. The DMM is the exception: its dense
layers see the whole grid, so that its weights grow with the cells (here counted at 64 x 64).

{costs}

Counted by `model.summary()` on one window of {window} steps, forward and backward, convolutions and matrix products
only, a mean over the stages of a training; activations at most. A frame in float32 is 4 bytes a
cell, so a window step reads far less than it computes: {intensity}.

## Checked against measurements

{machine}. `python asv_bench/archive.py` fits the default CNMM on whole frames of growing grids:

{grids}

{linear}

`python asv_bench/compare.py` measures the step of the paper's CNMM at its CMAP sizes (16 windows of 30 frames of 72 x
72): {step}

## Where to train

{places}

The default is {n_steps:,} steps of {batch} windows of {window} frames: {seen:,} frames, of whole fields while a step
fits into 2 GiB, else of patches of {side} x {side}, so that a larger grid or a longer archive costs no more. Counted by
the time a cell of the largest grid above, without what comes before and after the training. The products alone would
take a GPU {floor}: what takes its time are the launches of kernels.

## A 1 TB archive: hourly ERA5, 0.25 degrees, 721 x 1440

{archive}

Assumptions, not measured here:

{assumed}

- **A laptop** is enough for the default on any grid. It is not for one pass over whole fields of such an archive:
  {laptop_pass}.
- **A GPU** pays where one fit is not enough (a search, many seeds) and where more is to be seen than the default does:
  with `patch_size=None`, more `max_steps`, wider networks. Raise `batch_size` until it is busy.
- **torchrun** pays where a GPU computes longer than one likes to wait and reading keeps up. Windows that start at every
  step use each frame {window} times an epoch, and each chunk is read once: reading from one network file system takes
  {far_share} as long as one GPU computes, from a local drive {near_share}. {shared}. The exchange of gradients takes
  {exchange:.0%} of a step on whole fields.
- **Patches** read more than they compute: one of {side} x {side} is {patch} of a field, whose chunk is read in whole.
  Give `max_steps`, not epochs: the default reads the part of an archive that it needs. Chunks that were read are kept
  on local disk within a budget (`dask.config["gridcast.cache-bytes"]`).
- **Chunks.** Whole fields, and as many steps as make a chunk of 64 to 128 MB ({steps} hours here): long chunks, because
  a window of {window} steps that reaches into the next block has that chunk read again where it is not kept on local
  disk, about {again} of the bytes with four chunks in a block. Zarr rather than NetCDF where several processes read:
  NetCDF is read by one thread at a time.
"""


def main() -> None:
    speed, archive = (json.loads((DOCS / "results" / f"{name}.json").read_text()) for name in ("speed", "archive"))
    costs = {name: cost(model) for name, model in MODELS.items()}
    paragraphs = TEXT.format(**parts(costs, speed, archive)).split("\n\n")
    (DOCS / "scaling.md").write_text("\n\n".join(map(wrapped, paragraphs)) + "\n")


def wrapped(paragraph: str) -> str:
    """Return a paragraph, or a list, in lines of 118 characters; tables and headings as they are."""
    if paragraph.startswith(("|", "#")):
        return paragraph
    items = paragraph.replace("\n- ", "\0- ").split("\0")
    fill = {"width": 118, "break_long_words": False, "break_on_hyphens": False}
    return "\n".join(
        textwrap.fill(" ".join(item.split()), subsequent_indent="  " if item.startswith("- ") else "", **fill)
        for item in items
    )


def cost(model: Any, size: int = 64) -> dict[str, float]:
    """Return weights, and operations and bytes for each cell of a frame."""
    series = gc.datasets.make_precipitation(n_times=60, shape=(size, size), random_state=0)
    summary = model(max_epochs=1, max_steps=1, verbose=0, random_state=0).fit(series).summary()
    cells = size * size
    return {
        "weights": summary.n_parameters,
        "flop": summary.cost.flop / cells,
        "bytes": summary.cost.saved_bytes / cells,
    }


def parts(costs: dict[str, dict[str, float]], speed: dict[str, Any], archive: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of the text."""
    measured = speed["measured"]
    return {
        "window": WINDOW,
        "costs": table(
            ["default", "weights", "kFLOP a cell", "kB of activations a cell"],
            [
                [n, f"{c['weights']:,.0f}", f"{c['flop'] / 1e3:.0f}", f"{c['bytes'] / 1e3:.2f}"]
                for n, c in costs.items()
            ],
        ),
        "intensity": ", ".join(f"{c['flop'] / 4:,.0f} operations a byte ({n})" for n, c in costs.items()),
        "machine": archive["machine"],
        "step": (
            f"{measured['step, fp32, GFLOP']:.1f} GFLOP in {measured['step, fp32, seconds']:.3f} s, "
            f"{measured['step, fp32, share of the matrix-product rate']:.0%} of the rate of `torch.mm` "
            f"({measured['matrix products, GFLOP/s']:.0f} GFLOP/s; a convolution alone reaches "
            f"{measured['convolutions, GFLOP/s']:.0f})."
        ),
        "assumed": "\n".join(f"- {name}: {value:g}" for name, value in ASSUMED.items()),
        **growing_grids(costs["CNMM"], archive["grids"]),
        **places(costs["CNMM"], archive["grids"]),
        **large_archive(costs["CNMM"], archive["grids"]),
    }


def growing_grids(cost: dict[str, float], grids: list[dict[str, float]]) -> dict[str, str]:
    """Return what the measurements on grids of several sizes say."""
    times = [1e9 / (g["frames_per_second"] * g["size"] ** 2) for g in grids]
    rows = [
        [f"{g['size']} x {g['size']}", f"{g['frames_per_second']:.1f}", f"{ns:.0f}", f"{cost['flop'] / ns:.0f}"]
        for g, ns in zip(grids, times, strict=True)
    ]
    growth = (grids[-1]["size"] / grids[0]["size"]) ** 2
    return {
        "grids": table(["grid", "frames a second", "ns a cell", "GFLOP/s"], rows),
        "linear": (
            f"Time a cell from the smallest grid to the largest: {times[0]:.0f} to {times[-1]:.0f} ns, a factor of "
            f"{times[-1] / times[0]:.2f} while the cells grow {growth:.0f} times."
        ),
    }


def places(cost: dict[str, float], grids: list[dict[str, float]]) -> dict[str, Any]:
    """Return how long the default trains on grids of several sizes."""
    seconds = 1 / (grids[-1]["frames_per_second"] * grids[-1]["size"] ** 2)  # a cell
    cells = {
        name: SEEN * math.prod(patch_of("auto", (1, *size), DEFAULT.batch_size * WINDOW) or size)
        for name, size in PLACES.items()
    }
    rows = [[name, hours(n * seconds)] for name, n in cells.items()]
    return {
        "places": table(["grid", "a training on the processor above"], rows),
        "floor": f"{max(cells.values()) * cost['flop'] / GPU:.1f} s at most",
        "n_steps": STEPS,
        "batch": DEFAULT.batch_size,
        "seen": SEEN,
        "side": PATCH,
    }


def large_archive(cost: dict[str, float], grids: list[dict[str, float]]) -> dict[str, Any]:
    """Return what the model says of an archive far larger than those that were measured."""
    local, network, exchange = (1e9 * rate for rate in list(ASSUMED.values())[1:])
    cells, frame_bytes = ROWS * COLUMNS, 4.0 * ROWS * COLUMNS
    n_frames, flop = ARCHIVE_BYTES / frame_bytes, cost["flop"] * cells
    compute, near, far = n_frames * flop / GPU, ARCHIVE_BYTES / local, ARCHIVE_BYTES / network
    gradient = 8 * cost["weights"] / exchange
    rows = [
        ["frames", f"{n_frames:,.0f}", "each once, without overlap"],
        ["one pass of computing, one GPU", hours(compute), f"{flop / 1e9:.0f} GFLOP a frame"],
        ["one pass of computing, 64 GPUs", hours(compute / 64), "each its own chunks"],
        ["one pass of reading, local drive", hours(near), "shared out over 64 machines: / 64"],
        ["one pass of reading, one network file system", hours(far), "the same for 1 and for 64 GPUs"],
        ["exchange of gradients, a step", f"{1e3 * gradient:.2f} ms", f"{cost['weights']:,} weights"],
    ]
    chunk_steps = math.floor(96e6 / frame_bytes)
    return {
        "archive": table(["default CNMM", "", ""], rows),
        "laptop_pass": hours(n_frames * cells / (grids[-1]["frames_per_second"] * grids[-1]["size"] ** 2)),
        "far_share": f"{far / compute / WINDOW:.1f} times",
        "near_share": f"{near / compute / WINDOW:.1f} times",
        "shared": f"64 GPUs would compute {hours(WINDOW * compute / 64)} and wait {hours(far)} for the first",
        "exchange": gradient * GPU / (DEFAULT.batch_size * WINDOW * flop),
        "patch": f"{PATCH**2 / cells:.1%}",
        "steps": chunk_steps,
        "again": f"{WINDOW / (4 * chunk_steps):.0%}",
    }


def hours(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    main()
