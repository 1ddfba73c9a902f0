"""Synthetic gridded series with known physics, and openers and fetchers of real ones."""

from gridcast.datasets._cmap import open_cmap
from gridcast.datasets._fetch import fetch_air_temperature, fetch_cmap
from gridcast.datasets._heat import make_heat
from gridcast.datasets._precipitation import make_precipitation

__all__ = [
    "fetch_air_temperature",
    "fetch_cmap",
    "make_heat",
    "make_precipitation",
    "open_cmap",
]
