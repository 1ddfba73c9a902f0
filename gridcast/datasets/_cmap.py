"""Opening files of CMAP, the CPC Merged Analysis of Precipitation."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from gridcast.datasets._whole import check_whole

_DIMS = ("time", "lat", "lon")  # the order that gridcast asks for
_LONG_NAMES = {"latitude": "lat", "longitude": "lon"}  # some mirrors spell them out
_UNITS = ("mm/day", "mm/d", "mm day-1", "mm d-1")  # spellings of one unit: nothing is converted
_TIME_CHUNK = 365  # five years of pentads, a year of days


def open_cmap(path: str | os.PathLike[str], chunks: Mapping[str, int] | Literal["auto"] = "auto") -> xr.DataArray:
    """Open a CMAP file lazily as precipitation in mm/day.

    Reads NOAA PSL's files (pentads, months and their climatologies, standard and enhanced) and copies of them
    that other tools wrote. Values come as they stand in the file, in its order of latitudes; what the file
    marks as missing is NaN.

    Parameters
    ----------
    path : str or path-like
        A netCDF file.
    chunks : mapping or "auto", default "auto"
        Dask chunks, such as ``{"time": 73}``. "auto" takes 365 time steps, which are five years of pentads
        and 15 MB.

    Returns
    -------
    xarray.DataArray
        Named ``precip``, float32, dims ``(time, lat, lon)``. ``time`` is datetime64, or cftime where that
        cannot hold the dates: PSL's climatologies lie in the year 1. A file without a time dimension, as
        GDAL writes for a single step, gives one time step without a date, since the file states none; name
        it by ``.assign_coords(time=[date])``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not netCDF, holds no variable or several variables of precipitation on latitude and
        longitude, or states units other than mm/day.

    References
    ----------
    Xie, P. and Arkin, P. A. (1997). Global precipitation: a 17-year monthly analysis based on gauge
    observations, satellite estimates, and numerical model outputs. Bull. Amer. Meteor. Soc. 78, 2539-2558.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"path={str(path)!r} is no file; fetch_cmap() downloads the pentads")
    dataset = _open(path)
    precip = _find_precipitation(dataset.rename(_short_names(dataset)), path)
    precip = _decode_time(precip) if "time" in precip.dims else precip.expand_dims("time")
    precip = precip.transpose(*_DIMS)
    precip = precip.chunk({"time": _TIME_CHUNK} if chunks == "auto" else chunks)
    # PSL's older files say what is missing in another precision than the data, or only by the default
    # fill value of netCDF, so that xarray's own mask passes it by.
    precip = precip.where(np.abs(precip) < 1e30).astype(np.float32, copy=False)
    precip.attrs["units"] = "mm/day"
    return precip.rename("precip")


def _open(path: Path) -> xr.Dataset:
    # Dates as cftime always: a climatology in the year 1 would otherwise warn.
    dates = xr.coders.CFDatetimeCoder(use_cftime=True)
    try:
        check_whole(path)
        return xr.open_dataset(path, decode_times=dates, decode_timedelta=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"path={str(path)!r} cannot be opened as netCDF; check that it is complete or fetch it anew ({error})"
        ) from error


def _short_names(dataset: xr.Dataset) -> dict[str, str]:
    return {name: short for name, short in _LONG_NAMES.items() if name in dataset.dims}


def _find_precipitation(dataset: xr.Dataset, path: Path) -> xr.DataArray:
    """Return the one variable of precipitation on (time, lat, lon) or (lat, lon)."""
    variables = dataset.data_vars.values()
    on_grid = [variable for variable in variables if {"lat", "lon"} <= set(variable.dims) <= set(_DIMS)]
    found = [variable for variable in on_grid if variable.name == "precip"]
    found = found or [variable for variable in on_grid if _is_precipitation(variable)]
    if len(found) != 1:
        held = ", ".join(f"{variable.name}{variable.dims}" for variable in variables)
        raise ValueError(
            f"path={str(path)!r} holds {len(found) or 'no'} variables of precipitation on (time, lat, lon), "
            f"but {held or 'nothing at all'}; open it with xarray.open_dataset and pass the variable you mean"
        )
    units = found[0].attrs.get("units", "mm/day")
    if units not in _UNITS:
        raise ValueError(
            f"path={str(path)!r} states precipitation in units={units!r}, CMAP's are 'mm/day'; "
            "open it with xarray.open_dataset and convert"
        )
    return found[0]


def _is_precipitation(variable: xr.DataArray) -> bool:
    described = (variable.attrs.get(key, "") for key in ("standard_name", "long_name", "var_desc"))
    return any("precip" in str(text).lower() for text in (variable.name, *described))


def _decode_time(precip: xr.DataArray) -> xr.DataArray:
    """Turn cftime dates into datetime64 where they are dates of the Gregorian calendar."""
    index = precip.indexes.get("time")
    if not isinstance(index, xr.CFTimeIndex) or len(index) == 0:
        return precip
    if index.calendar not in ("standard", "gregorian", "proleptic_gregorian") or index[0].year < 1678:
        return precip
    dates = index.to_datetimeindex(time_unit="ns")
    return precip.assign_coords(time=("time", dates, precip["time"].attrs))
