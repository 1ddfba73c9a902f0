"""A forecast as a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gridcast.data.units import units_of
from gridcast.plotting._fields import MapGrid, add_colorbar, draw_coastlines, error_scale, field_scale
from gridcast.plotting._labels import date_names
from gridcast.plotting.maps import same_steps


def animate(
    forecast: xr.DataArray,
    observed: xr.DataArray | None = None,
    *,
    path: str | Path,
    frames_per_second: float = 4.0,
    dpi: int = 100,
    projection: Any = None,
    coastlines: bool = False,
) -> Path:
    """
    Write a forecast as a film, a frame a time step: beside the truth and its error, where that is known.

    Parameters
    ----------
    forecast : DataArray of shape (time, y, x)
        The forecast; a dimension ``lead_time`` with a coordinate ``time`` will do.
    observed : DataArray of shape (time, y, x), default=None
        The truth, on the grid and in the units of `forecast`; the film shows the steps that both have.
    path : str or Path
        The file: ``.gif``, which Pillow writes, or ``.mp4``, which needs the program ffmpeg.
    frames_per_second : float, default=4.0
        Speed of the film.
    dpi : int, default=100
        Dots per inch; a map is about 4 inches wide.
    projection, coastlines
        As in :func:`gridcast.plotting.plot_maps`.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ImportError
        If `projection` is given and cartopy is not installed.
    RuntimeError
        If `path` ends in ``.mp4`` and matplotlib finds no ffmpeg.
    TypeError
        If the data are no DataArrays.
    ValueError
        If `path` has another ending, if `frames_per_second` is not above 0, or if the data are not (time, y, x) on
        one grid.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import xarray as xr
    >>> from gridcast.plotting import animate
    >>> forecast = xr.DataArray(np.random.default_rng(0).random((3, 4, 5)), dims=("time", "y", "x"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     animate(forecast, path=f"{folder}/forecast.gif").stat().st_size > 0
    True
    """
    path = Path(path)
    if not frames_per_second > 0.0:
        raise ValueError(f"frames_per_second={frames_per_second!r} must be above 0")
    writer = _writer(path, frames_per_second)
    truth, forecast = same_steps(forecast if observed is None else observed, forecast, None, most=None)
    columns = {"forecast": (forecast, field_scale(forecast))}
    if observed is not None:
        scale, error = field_scale(truth, forecast), forecast - truth
        columns = {"truth": (truth, scale), "forecast": (forecast, scale), "error": (error, error_scale(error))}
    figure = Figure(layout="compressed")
    FigureCanvasAgg(figure)
    grid = MapGrid.of(forecast, projection)
    meshes, title = _first_frame(figure, columns, grid, coastlines)
    with writer.saving(figure, str(path), dpi):
        for step, name in enumerate(date_names(forecast)):
            title.set_text(name)
            for mesh, (data, _) in zip(meshes, columns.values(), strict=True):
                mesh.set_array(np.ma.masked_invalid(grid.values(data[step])))
            writer.grab_frame()
    return path


def _writer(path: Path, frames_per_second: float) -> AbstractMovieWriter:
    if path.suffix.lower() == ".gif":
        return PillowWriter(fps=frames_per_second)  # type: ignore[arg-type]
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path={str(path)!r} must end in .gif or .mp4")
    if not FFMpegWriter.isAvailable():
        raise RuntimeError(
            f"path={str(path)!r} needs ffmpeg, which matplotlib does not find: install it (`conda install ffmpeg`, "
            '`apt install ffmpeg`), set matplotlib.rcParams["animation.ffmpeg_path"], or write a .gif'
        )
    # Most players refuse an odd number of pixels.
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", "-pix_fmt", "yuv420p"]
    return FFMpegWriter(fps=frames_per_second, extra_args=even)  # type: ignore[arg-type]


def _first_frame(
    figure: Figure, columns: dict[str, tuple[xr.DataArray, dict[str, Any]]], grid: MapGrid, coastlines: bool
) -> tuple[list[Any], Any]:
    """Draw the first step and fix the layout, so that nothing moves but the fields."""
    axes = grid.new_axes(1, len(columns), figure)
    title = figure.suptitle(" ")
    meshes = []
    fields = [data for data, _ in columns.values()]
    for ax, (name, (data, scale)) in zip(axes[0], columns.items(), strict=True):
        meshes.append(grid.draw(ax, data[0], scale))
        ax.set_title(name)
    label, units = str(fields[0].name or "value"), units_of(*fields)
    add_colorbar(axes[:, :2], meshes[0], fields[:2], label, units)
    if len(columns) > 1:
        add_colorbar(axes[:, 2:], meshes[2], fields[2:], "error", units)
    grid.name_axes(axes, ("",))
    if coastlines:
        draw_coastlines(axes)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return meshes, title
