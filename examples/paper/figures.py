"""The paper's figures 4 to 11, of our own results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from gridcast import plotting

mpl.use("Agg")

MODELS = {"naive": "persistence", "convlstm": "ConvLSTM", "dmm": "DMM", "cnmm": "CNMM"}
LEADS_SHOWN = (1, 2, 3, 5, 10, 20)


def bars(results: dict[str, dict[str, float]], unit: float, limit: dict[str, float], path: Path) -> None:
    """Figures 4 and 5: one-step MSE by window length and model; the Kalman limit as a line."""

    def by_length(values: dict[str, float]) -> xr.DataArray:
        length = xr.Variable("length", list(values), {"long_name": "L", "units": "steps"})
        attrs = {"long_name": f"one-step MSE / {unit:g}"}
        return xr.DataArray([v / unit for v in values.values()], coords={"length": length}, attrs=attrs)

    scores = {label(name): by_length(values) for name, values in results.items()}
    save(plotting.plot_score_bars(scores, limits={"Kalman filter": by_length(limit)} if limit else None), path)


def squared_errors(truth: np.ndarray, forecasts: dict[str, np.ndarray], path: Path) -> None:
    """Figures 6 and 7: spatially averaged squared error of nine samples by lead time, (sample, lead, y, x)."""
    save(plotting.plot_error_by_sample(labelled(truth), labelled_models(forecasts))[0], path)


def error_maps(truth: np.ndarray, forecasts: dict[str, np.ndarray], path: Path) -> None:
    """Figures 8 and 9: mean absolute error of each cell over all samples and leads."""
    save(plotting.plot_error_maps(labelled(truth), labelled_models(forecasts))[0], path)


def film(truth: np.ndarray, forecasts: dict[str, np.ndarray], path: Path) -> None:
    """Figures 10 and 11: the course of one sample, truth and forecasts."""
    first = {name: forecast[0] for name, forecast in labelled_models(forecasts).items()}
    leads = [k for k in LEADS_SHOWN if k <= truth.shape[1]]
    save(plotting.plot_film(labelled(truth)[0], first, leads=leads)[0, 0], path)


def label(name: str) -> str:
    """Return how a figure calls ``model/variant`` of the results or ``model-variant`` of the films."""
    model, _, variant = name.replace("/", "-").partition("-")
    return MODELS[model] + (f" ({variant})" if variant != "default" else "")


def labelled(values: np.ndarray) -> xr.DataArray:
    leads = np.arange(1, values.shape[1] + 1)
    return xr.DataArray(
        values, dims=("sample", "lead_time", "y", "x"), coords={"lead_time": leads}, name="scaled value"
    )


def labelled_models(forecasts: dict[str, np.ndarray]) -> dict[str, xr.DataArray]:
    return {label(name): labelled(forecast) for name, forecast in forecasts.items()}


def save(ax: Any, path: Path) -> None:
    """Write the figure of `ax` and forget it."""
    ax.figure.savefig(path, dpi=120)
    plt.close(ax.figure)
