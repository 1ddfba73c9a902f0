"""The paper's figures 4 to 11, of our own results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

mpl.use("Agg")

STEPS_SHOWN = (0, 1, 2, 4, 9, 19)


def bars(results: dict[str, dict[str, float]], unit: float, limit: dict[str, float], path: Path) -> None:
    """Figures 4 and 5: one-step MSE by window length and model; the Kalman limit as a line."""
    lengths = list(next(iter(results.values())))
    figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
    width = 0.8 / len(results)
    for i, (name, values) in enumerate(results.items()):
        at = np.arange(len(lengths)) + (i - (len(results) - 1) / 2) * width
        ax.bar(at, [values[k] / unit for k in lengths], width, label=name)
    if limit:
        ax.axhline(np.mean(list(limit.values())) / unit, color="black", linestyle="--", label="Kalman filter")
    ax.set_xticks(np.arange(len(lengths)), [f"L = {k}" for k in lengths])
    ax.set_ylabel(f"one-step MSE / {unit:g}")
    ax.legend(fontsize="small")
    save(figure, path)


def squared_errors(truth: np.ndarray, forecasts: dict[str, np.ndarray], unit: float, path: Path) -> None:
    """Figures 6 and 7: spatially averaged squared error of nine samples by lead time, (sample, lead, y, x)."""
    figure, axes = plt.subplots(3, 3, figsize=(9, 7), sharex=True, sharey=True, layout="constrained")
    for i, ax in enumerate(axes.flat):
        if i >= len(truth):
            ax.axis("off")
            continue
        for name, forecast in forecasts.items():
            error = np.square(forecast[i] - truth[i]).mean((-2, -1)) / unit
            ax.plot(np.arange(1, len(error) + 1), error, marker=".", label=name)
        ax.set_yscale("log")
        ax.set_title(f"sample {i + 1}", fontsize="small")
    axes[0, 0].legend(fontsize="x-small")
    figure.supxlabel("lead time [steps]")
    figure.supylabel(f"squared error / {unit:g}")
    save(figure, path)


def error_maps(truth: np.ndarray, forecasts: dict[str, np.ndarray], path: Path) -> None:
    """Figures 8 and 9: mean absolute error of each cell over all samples and leads."""
    errors = {name: np.abs(forecast - truth).mean((0, 1)) for name, forecast in forecasts.items()}
    top = max(np.quantile(error, 0.99) for error in errors.values())
    figure, axes = plt.subplots(1, len(errors), figsize=(3 * len(errors) + 1, 3), squeeze=False, layout="constrained")
    for ax, (name, error) in zip(axes.flat, errors.items(), strict=True):
        image = ax.imshow(error, vmin=0, vmax=top, origin="lower", cmap="viridis")
        ax.set_title(f"{name}: {error.mean():.2g}", fontsize="small")
    figure.colorbar(image, ax=axes, label="mean absolute error (scaled)")
    save(figure, path)


def film(truth: np.ndarray, forecasts: dict[str, np.ndarray], path: Path) -> None:
    """Figures 10 and 11: the course of one sample, truth and forecasts."""
    rows = {"truth": truth[0]} | {name: forecast[0] for name, forecast in forecasts.items()}
    shown = [k for k in STEPS_SHOWN if k < truth.shape[1]]
    low, high = np.quantile(truth[0], [0.0, 0.995])
    figure, axes = plt.subplots(
        len(rows), len(shown), figsize=(2 * len(shown), 2 * len(rows)), squeeze=False, layout="constrained"
    )
    for row, (line, (name, frames)) in enumerate(zip(axes, rows.items(), strict=True)):
        for ax, k in zip(line, shown, strict=True):
            image = ax.imshow(frames[k], vmin=low, vmax=high, origin="lower")
            ax.set_xticks([])
            ax.set_yticks([])
            if ax is line[0]:
                ax.set_ylabel(name)
            if row == 0:
                ax.set_title(f"lead {k + 1}", fontsize="small")
    figure.colorbar(image, ax=axes, label="scaled value", shrink=0.6)
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a figure and forget it."""
    figure.savefig(path, dpi=120)
    plt.close(figure)
