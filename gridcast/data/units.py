"""Units of scores and figures, from those of the data."""

from __future__ import annotations

from xarray import DataArray

from gridcast.data.warn import warn


def units_of(*arrays: DataArray) -> str | None:
    """Return the units of the first array that has any."""
    return next((str(data.attrs["units"]) for data in arrays if data.attrs.get("units")), None)


def warn_of_other_units(name: str, units: str | None, reference: str, expected: str | None) -> None:
    """Warn where two arrays that belong together say that they are in different units."""
    if units and expected and str(units) != str(expected):
        warn(
            f"{name} is in {str(units)!r} and {reference} in {str(expected)!r}: nothing is converted, bring them to "
            "the same units and the same attribute first",
        )


def squared(units: str | None) -> str | None:
    """Return `units` squared, as UDUNITS reads it."""
    if units is None or units == "1":
        return units
    return f"{units}^2" if units.isalpha() else f"({units})^2"
