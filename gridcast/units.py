"""Units of scores and figures, from those of the data."""

from __future__ import annotations

from xarray import DataArray


def units_of(*arrays: DataArray) -> str | None:
    """Return the units of the first array that has any."""
    return next((str(data.attrs["units"]) for data in arrays if data.attrs.get("units")), None)


def squared(units: str | None) -> str | None:
    """Return `units` squared, as UDUNITS reads it."""
    if units is None or units == "1":
        return units
    return f"{units}^2" if units.isalpha() else f"({units})^2"
