"""A forecast, or a reconstruction, as a film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gridcast.data.units import units_of
from gridcast.plotting._fields import MapGrid, add_colorbar, draw_coastlines, error_scale, field_scale, size_scale
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
    writer = _writer(Path(path), frames_per_second)
    if observed is None:
        (forecast,) = same_steps({"forecast": forecast}, None, most=None).values()
        bars = [_Bar(_name(forecast), field_scale(forecast), {"forecast": forecast})]
    else:
        truth, forecast = same_steps({"observed": observed, "forecast": forecast}, None, most=None).values()
        error, scale = forecast - truth, field_scale(truth, forecast)
        bars = [
            _Bar(_name(truth), scale, {"truth": truth, "forecast": forecast}),
            _Bar("error", error_scale(error), {"error": error}),
        ]
    return _write(Path(path), bars, writer, dpi, projection, coastlines)


def animate_reconstruction(
    seen: xr.DataArray,
    filled: xr.DataArray,
    truth: xr.DataArray | None = None,
    spread: xr.DataArray | None = None,
    *,
    path: str | Path,
    frames_per_second: float = 4.0,
    dpi: int = 100,
    projection: Any = None,
    coastlines: bool = False,
) -> Path:
    """
    Write a reconstruction as a film, a frame a time step: what was seen, beside what it was filled to.

    Parameters
    ----------
    seen : DataArray of shape (time, y, x)
        What was observed; cells that were not are missing, and grey.
    filled : DataArray of shape (time, y, x)
        What :meth:`gridcast.LinearForecaster.reconstruct` makes of it: the mean, or one member.
    truth : DataArray of shape (time, y, x), default=None
        What was there, where that is known, as of made data; in the colours of `seen` and `filled`.
    spread : DataArray of shape (time, y, x), default=None
        How far members lie apart, ``members.std("member")``; with a scale of its own, from zero.
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
        The file that was written. It shows the steps that all arrays have.

    Raises
    ------
    ImportError, RuntimeError, TypeError
        As :func:`gridcast.plotting.animate` says.
    ValueError
        As there; also if the arrays lie on different grids, or have no time in common.

    Examples
    --------
    >>> import tempfile
    >>> import gridcast as gc
    >>> heat = gc.datasets.make_heat(2, n_windows=2, window=12, shape=(16, 16), random_state=0)
    >>> model = gc.LinearForecaster(lags=2, context=6, random_state=0).fit(heat)
    >>> truth = heat.isel(sample=0, drop=True)
    >>> seen = truth.where(truth.x > 0.5)
    >>> members = model.reconstruct(seen, n_samples=5)
    >>> filled, spread = members.mean("member"), members.std("member")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gc.plotting.animate_reconstruction(seen, filled, truth, spread, path=f"{folder}/clouds.gif").name
    'clouds.gif'
    """
    writer = _writer(Path(path), frames_per_second)
    given = {"seen": seen, "filled": filled, "truth": truth, "spread": spread}
    fields = same_steps({name: data for name, data in given.items() if data is not None}, None, most=None)
    width = fields.pop("spread", None)
    bars = [_Bar(_name(*fields.values()), field_scale(*fields.values()), fields)]
    if width is not None:
        bars.append(_Bar("spread", size_scale(width), {"spread": width}))
    return _write(Path(path), bars, writer, dpi, projection, coastlines)


@dataclass(frozen=True)
class _Bar:
    """Maps beside each other with one colour bar: what it is called, its colours, and the series of each map."""

    name: str
    scale: dict[str, Any]
    fields: dict[str, xr.DataArray]


def _name(*fields: xr.DataArray) -> str:
    return next((str(data.name) for data in fields if data.name), "value")


def _writer(path: Path, frames_per_second: float) -> AbstractMovieWriter:
    if not frames_per_second > 0.0:
        raise ValueError(f"frames_per_second={frames_per_second!r} must be above 0")
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


def _write(
    path: Path, bars: list[_Bar], writer: AbstractMovieWriter, dpi: int, projection: Any, coastlines: bool
) -> Path:
    figure = Figure(layout="compressed")
    FigureCanvasAgg(figure)
    columns = [data for bar in bars for data in bar.fields.values()]
    grid = MapGrid.of(columns[0], projection)
    meshes, title = _first_frame(figure, bars, grid, coastlines)
    with writer.saving(figure, str(path), dpi):
        for step, name in enumerate(date_names(columns[0])):
            title.set_text(name)
            for mesh, data in zip(meshes, columns, strict=True):
                mesh.set_array(np.ma.masked_invalid(grid.values(data[step])))
            writer.grab_frame()
    return path


def _first_frame(figure: Figure, bars: list[_Bar], grid: MapGrid, coastlines: bool) -> tuple[list[Any], Any]:
    """Draw the first step and fix the layout, so that nothing moves but the fields."""
    axes = grid.new_axes(1, sum(len(bar.fields) for bar in bars), figure)
    title = figure.suptitle(" ")
    meshes: list[Any] = []
    units = units_of(*(data for bar in bars for data in bar.fields.values()))
    for bar in bars:
        drawn = axes[:, len(meshes) : len(meshes) + len(bar.fields)]
        for ax, (name, data) in zip(drawn[0], bar.fields.items(), strict=True):
            meshes.append(grid.draw(ax, data[0], bar.scale))
            ax.set_title(name)
        add_colorbar(drawn, meshes[-1], list(bar.fields.values()), bar.name, units)
    grid.name_axes(axes, ("",))
    if coastlines:
        draw_coastlines(axes)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return meshes, title
