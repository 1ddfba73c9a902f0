"""Colours and line styles: a model looks the same in every figure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito's palette, without its yellow, which is faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # beside the colour, for print in grey
# name -> grey, (offset, dashes)
BASELINES = {"persistence": ("0.45", (0, (5, 2))), "climatology": ("0.65", (0, (2, 2)))}
GREY, MISSING = "0.45", "0.75"  # of text and lines; of cells without a value


def line_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the keywords of each model's line: colour and marker, or dashed and grey for a reference forecast."""
    looks = itertools.cycle(zip(COLORS, MARKERS, strict=True))
    styles: dict[str, dict[str, Any]] = {}
    for name in names:
        if name in BASELINES:
            color, dashes = BASELINES[name]
            styles[name] = {"color": color, "linestyle": dashes}
        else:
            color, marker = next(looks)
            styles[name] = {"color": color, "marker": marker, "markersize": 3.5}
    return styles


def new_axes(width: float, height: float) -> Axes:
    """Return the axes of a new figure of `width` times `height` inches, without a box around them."""
    ax = plt.figure(figsize=(width, height), layout="constrained").add_subplot()
    without_box(ax)
    return ax


def legend_above(ax: Axes, most: int = 4) -> None:
    """Name the lines above `ax`, where they hide none, at `most` in a row."""
    handles, labels = ax.get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2}
    ax.legend(handles, labels, ncols=min(most, len(labels)), frameon=False, fontsize="small", **place)


def without_box(ax: Axes) -> None:
    """Hide the upper and the right border."""
    ax.spines[["top", "right"]].set_visible(False)
