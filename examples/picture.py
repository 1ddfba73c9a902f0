"""The picture at the top of the README: a forecast of real air temperature, what came, and how unsure it was.

``python examples/picture.py`` reads ``../shared/data/air_temperature.zarr`` (NCEP/NCAR reanalysis, 6-hourly, North
America, 2013 and 2014), fits a linear inverse model to the first 70 % of the steps and writes
``docs/_static/forecast.png``. The forecast is that from the middle of the unseen rest: no better one was looked for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

import gridcast as gc

ROOT = Path(__file__).resolve().parents[1]
LEADS = (1, 5)  # steps of 6 hours
N_MEMBERS = 50
LEVELS = np.arange(240.0, 310.0, 10.0)  # K, of the isotherms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "air_temperature.zarr")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "_static" / "forecast.png")
    arguments = parser.parse_args()
    air = xr.open_zarr(arguments.data)["air"].load()
    train, test = gc.train_test_split(air, test_fraction=0.3)
    model = gc.LinearForecaster(random_state=0).fit(train)
    history = test[: len(test) // 2]
    ensemble = model.predict_samples(history, horizon=max(LEADS), n_samples=N_MEMBERS)
    figure = draw(ensemble, test.sel(time=ensemble.time), history[-1])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out, dpi=110, pil_kwargs={"optimize": True})
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB")


def draw(ensemble: xr.DataArray, truth: xr.DataArray, last: xr.DataArray) -> Figure:
    """Return a row of maps for each of the leads: what came, the mean of the ensemble and its spread."""
    mean, spread = ensemble.mean("member"), ensemble.std("member", ddof=1)
    shown = [lead - 1 for lead in LEADS]
    values = np.concatenate([truth[shown], mean[shown]])
    low, high = 5.0 * np.floor(values.min() / 5.0), 5.0 * np.ceil(values.max() / 5.0)
    temperature = {"cmap": "RdYlBu_r", "vmin": low, "vmax": high}
    uncertainty = {"cmap": "viridis", "vmin": 0.0, "vmax": float(spread[shown].max())}
    figure = Figure(figsize=(10.0, 5.6), layout="compressed", facecolor="white")
    axes = figure.subplots(len(LEADS), 3, sharex=True, sharey=True)
    for row, step in zip(axes, shown, strict=True):
        fields = (truth[step], mean[step], spread[step])
        scales = (temperature, temperature, uncertainty)
        meshes = [draw_map(*arguments) for arguments in zip(row, fields, scales, strict=True)]
        for ax, field in zip(row[:2], fields, strict=False):
            ax.contour(field.lon, field.lat, field, LEVELS, colors="black", linewidths=0.5, alpha=0.6)
        hours = int((truth.time[step] - last.time) / pd.Timedelta("1h"))
        row[0].set_ylabel(f"{hours} hours ahead\n{date(truth.time[step])}", fontsize="medium")
        note(row[1], f"RMSE {rmse(mean[step], truth[step]):.1f} K, persistence {rmse(last, truth[step]):.1f} K")
    for ax, title in zip(
        axes[0], ("what came", f"forecast, mean of {N_MEMBERS} members", "how unsure it is"), strict=True
    ):
        ax.set_title(title, fontweight="bold")
    bar = {"location": "bottom", "aspect": 40, "pad": 0.03, "shrink": 0.8}
    figure.colorbar(meshes[0], ax=axes[:, :2], label="air temperature [K], a line every 10 K", **bar)
    label = "standard deviation of the members [K]"
    figure.colorbar(meshes[2], ax=axes[:, 2:], label=label, **bar | {"aspect": 20, "shrink": 0.9})
    figure.suptitle(f"Air temperature over North America, forecast from {date(last.time)}", fontsize="x-large")
    return figure


def date(time: xr.DataArray) -> str:
    return f"{pd.Timestamp(time.item()):%d %b %Y, %H UTC}"


def rmse(forecast: xr.DataArray, observed: xr.DataArray) -> float:
    """Return the error over the map, weighted by area, of a forecast that may be the field of an earlier time."""
    return gc.metrics.rmse(forecast.drop_vars("time"), observed.drop_vars("time")).item()


def draw_map(ax: Axes, field: xr.DataArray, scale: dict[str, Any]) -> QuadMesh:
    """Draw a field in degrees west and north, as wide as it is in the middle."""
    mesh = ax.pcolormesh(field.lon, field.lat, field, rasterized=True, **scale)
    ax.set_aspect(1.0 / np.cos(np.deg2rad(float(field.lat.mean()))))
    ax.set(xticks=[210.0, 240.0, 270.0, 300.0, 330.0], yticks=[20.0, 40.0, 60.0])
    ax.xaxis.set_major_formatter(lambda x, _: f"{360.0 - x:g}°W")
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}°N"))
    ax.tick_params(labelsize="small")
    return mesh


def note(ax: Axes, text: str) -> None:
    """Write below the upper border of a map."""
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "boxstyle": "round,pad=0.25"}
    ax.text(0.02, 0.95, text, transform=ax.transAxes, va="top", fontsize="small", bbox=box)


if __name__ == "__main__":
    mpl.use("Agg")
    main()
