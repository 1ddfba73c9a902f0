"""Downloading public data sets once and keeping them in a cache folder."""

import os
import time
from pathlib import Path

import numpy as np
import pooch
import requests
import xarray as xr
from urllib3.exceptions import HTTPError

from gridcast.datasets._cmap import open_cmap
from gridcast.datasets._whole import check_whole

_CMAP_URL = "https://downloads.psl.noaa.gov/Datasets/cmap/enh/"  # of PSL, enhanced CMAP
_XARRAY_URL = "https://github.com/pydata/xarray-data/raw/master/"  # the tutorial data of xarray
_TIMEOUT = 30.0  # seconds without an answer, as pooch has it
_PATIENCE, _LEAST_BYTES = 60.0, 2**16  # a server that sends fewer bytes in so many seconds is given up


def fetch_cmap(
    base_url: str = _CMAP_URL,
    cache: str | os.PathLike[str] | None = None,
    known_hash: str | None = None,
) -> xr.DataArray:
    """Return CMAP's enhanced pentads, downloaded on the first call (about 110 MB).

    NOAA PSL extends the file ``precip.pentad.mean.nc`` at times and publishes no checksum. So a download is
    kept only if its length is the announced one and it opens as netCDF with a variable ``precip``; pass
    `known_hash` to insist on one version.

    Parameters
    ----------
    base_url : str
        Folder that holds the file; point it at a mirror where NOAA PSL is out of reach. A file in the
        cache is used wherever it came from.
    cache : path-like, optional
        Cache folder. By default the environment variable ``GRIDCAST_DATA``, or else the user's cache folder
        (``pooch.os_cache("gridcast")``).
    known_hash : str, optional
        Checksum such as ``"sha256:..."``. A file in the cache with another one is fetched again.

    Returns
    -------
    xarray.DataArray
        Precipitation in mm/day, lazy, dims ``(time, lat, lon)``; see `open_cmap`.

    Raises
    ------
    OSError
        If the download fails, is given up as too slow or is not what it should be; then nothing stays in the cache.
        Also if the file in the cache is damaged.
    """
    return open_cmap(_fetch("precip.pentad.mean.nc", "precip", base_url, cache, known_hash))


def fetch_air_temperature(
    base_url: str = _XARRAY_URL,
    cache: str | os.PathLike[str] | None = None,
    known_hash: str | None = None,
) -> xr.DataArray:
    """Return 6-hourly air temperature over North America, downloaded on the first call (about 8 MB).

    The NCEP/NCAR reanalysis of 2013 and 2014 at the surface, the file ``air_temperature.nc`` of xarray's
    tutorial: 2920 steps of 25 x 53 cells.

    Parameters
    ----------
    base_url : str
        Folder that holds the file; point it at a mirror where GitHub is out of reach.
    cache : path-like, optional
        Cache folder, as in `fetch_cmap`.
    known_hash : str, optional
        Checksum, as in `fetch_cmap`.

    Returns
    -------
    xarray.DataArray
        Named ``air``, in K, float32, lazy, dims ``(time, lat, lon)``.

    Raises
    ------
    OSError
        If the download fails, is given up as too slow or is not what it should be; then nothing stays in the cache.
        Also if the file in the cache is damaged.

    References
    ----------
    Kalnay, E. et al. (1996). The NCEP/NCAR 40-year reanalysis project. Bull. Amer. Meteor. Soc. 77, 437-471.
    """
    path = _fetch("air_temperature.nc", "air", base_url, cache, known_hash)
    air = xr.open_dataset(path, chunks={})["air"].astype(np.float32)
    air.attrs["units"] = "K"
    return air.transpose("time", "lat", "lon")


def _fetch(
    filename: str, variable: str, base_url: str, cache: str | os.PathLike[str] | None, known_hash: str | None
) -> Path:
    """Return the path of a file in the cache, downloading it if it is not there."""
    url = f"{base_url.rstrip('/')}/{filename}"
    folder = Path(cache or os.environ.get("GRIDCAST_DATA") or pooch.os_cache("gridcast")).expanduser()

    def download(url: str, output_file: str, mover: pooch.Pooch | None) -> None:
        if url.startswith(("http://", "https://")):
            _download(url, output_file)
        else:
            pooch.downloaders.choose_downloader(url)(url, output_file, mover)
        # Here the file still has a temporary name, which pooch removes if this raises.
        _check_netcdf(output_file, variable)

    try:
        path = pooch.retrieve(url, known_hash, fname=filename, path=folder, downloader=download)
    except (OSError, ValueError) as error:
        raise OSError(
            f"{url} could not be fetched ({type(error).__name__}: {error}); nothing was kept in {folder}. "
            f"Try again later, pass the base_url of a mirror, or put {filename} into that folder yourself"
        ) from error
    try:
        # once more: it may have come from the cache, where anything may have happened to it
        _check_netcdf(path, variable)
    except ValueError as error:
        raise OSError(f"{path} in the cache is damaged ({error}): remove it, and the next call fetches it") from error
    return Path(path)


def _download(url: str, path: str) -> None:
    """Write what a web server sends to a file; raise a TimeoutError where it comes too slowly."""
    with requests.get(url, stream=True, timeout=_TIMEOUT) as response, open(path, "wb") as file:
        response.raise_for_status()
        began, n_bytes = time.monotonic(), 0
        # what is there, however little: to wait for a whole block a server that drips would take days
        while block := _next_block(response):
            file.write(block)
            n_bytes += len(block)
            if n_bytes >= _LEAST_BYTES:
                began, n_bytes = time.monotonic(), 0
            elif time.monotonic() - began > _PATIENCE:
                raise TimeoutError(f"the server sent only {n_bytes} bytes in {_PATIENCE:g} seconds")


def _next_block(response: requests.Response) -> bytes:
    try:
        return bytes(response.raw.read1(2**20, decode_content=True))
    except HTTPError as error:  # of urllib3, which is no OSError
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


def _check_netcdf(path: str, variable: str) -> None:
    """Raise ValueError unless the file opens as netCDF and holds `variable` to its last value."""
    with open(path, "rb") as file:
        start = file.read(30)
    try:
        check_whole(path)
        with xr.open_dataset(path, decode_times=False) as dataset:
            names = list(dataset.data_vars)
            if variable in names:
                dataset[variable][{dim: -1 for dim in dataset[variable].dims}].load()
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"what came begins with {start!r} and is not a whole netCDF file") from error
    if variable not in names:
        raise ValueError(f"the file that came holds {names}, not {variable!r}")
