"""Names and rows of the tables of `report.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

NAMES = {
    "cnmm+time": "CNMM with time of year and day",
    "cnmm+static": "CNMM with the range of the mean day as a static field",
    "lim": "linear inverse model (60 components, order 2)",
    "cnmm": "CNMM",
    "convlstm": "ConvLSTM",
    "dmm": "DMM",
    "linear": "LinearForecaster",
    "unet": "plain U-Net (`examples/unet.py`)",
    "dmd": "dynamic mode decomposition of anomalies (`pydmd`; rank and delays by a held-out tenth)",
    "damped": "damped persistence of anomalies, each cell and lead",
    "ar3": "AR(3) of anomalies, each cell",
}


def summary(values: list[float], digits: int = 3) -> str:
    """Return the median and the worst of values."""
    median, worst = float(np.median(values)), max(values)

    def show(value: float) -> str:
        return f"{value:.{digits}f}" if value < 10 or not digits else f"{value:.1f}"

    return show(median) if len(values) == 1 else f"{show(median)} ({show(worst)})"


def span(values: list[float], digits: int = 2) -> str:
    """Return the smallest and the largest of values that exist."""
    values = [value for value in values if np.isfinite(value)]
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}" if values else ""


def commits(runs: list[dict[str, Any]]) -> str:
    return ", ".join(sorted({run["commit"] for run in runs}))


def header(cells: list[str]) -> list[str]:
    return [line(cells), "|" + "---|" * len(cells)]


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
