"""Synthetic gridded series with known physics, and openers and fetchers of real ones."""

from gridcast.datasets._cmap import open_cmap
from gridcast.datasets._fetch import fetch_air_temperature, fetch_cmap
from gridcast.datasets._heat import make_heat
from gridcast.datasets._precipitation import make_precipitation
from gridcast.datasets._turbulence import make_turbulence

__all__ = [
    "fetch_air_temperature",
    "fetch_cmap",
    "make_heat",
    "make_precipitation",
    "make_turbulence",
    "open_cmap",
]
