"""Variance of a field by the size of its structures."""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Iterable

import numpy as np
import scipy.fft
import xarray as xr
from scores.processing import aggregate
from xarray import DataArray

from gridcast.data.units import squared, units_of
from gridcast.metrics._checks import Dims, check_dims, chunked, named
from gridcast.metrics._multivariate import SpatialDims, check_fields, with_fields

WAVENUMBER = "wavenumber"
ROUNDING = 1e-9  # of a wavenumber, in widths of a ring


def power_spectrum(
    field: DataArray,
    *,
    periodic: str | Iterable[Hashable] = (),
    spacing: float | tuple[float, float] = 1.0,
    dim: Dims = None,
    spatial_dims: SpatialDims = None,
) -> DataArray:
    r"""
    Power spectrum of fields: how much variance their structures have at each wavenumber, whatever their direction.

    Is an ensemble as rough as the truth? A member whose spectrum falls below that of the observations is too smooth; a
    mean of members is so by its nature. Along a dimension of `periodic` the field is a sum of waves that go around
    (discrete Fourier transform), along any other of cosines (discrete cosine transform), which sees no jump between
    its two ends (Denis, Côté and Laprise, Mon. Wea. Rev. 130, 2002). The squared coefficients are summed over rings
    of the wavenumber

    .. math:: \sqrt{k_y^2 + k_x^2}

    that are as wide as the longest wave resolves along the shorter side, so that the sum over all wavenumbers is the
    variance of the field.

    Parameters
    ----------
    field : DataArray of shape (member, time, y, x), or any other with `spatial_dims`
        Forecasts, members or observations. A field with a missing cell has no spectrum and is left out of the
        average: fill it, or select a part without gaps, and the same for all fields that are compared.
    periodic : str or iterable of hashable, default=()
        Those of `spatial_dims` that go around, such as the longitude of the globe, as in the forecasters.
    spacing : float or (float, float), default=1.0
        Size of a cell along y and x, in a unit of length; the wavenumber is in cycles per this unit, by default in
        cycles per cell. It has to be given where cells are not square, as those of a region in degrees.
    dim : str or iterable of hashable, default=None
        Dimensions to average the spectra over besides `spatial_dims`; None averages over all of them, members too.
    spatial_dims : (hashable, hashable), default=None
        Dimensions (y, x) of a field; the last two by default.

    Returns
    -------
    DataArray
        The power over the dimensions not in `dim` and ``wavenumber``, the middles of the rings, in squared units. Rings
        beyond half a cycle per cell hold the corners of the plane alone, and 0 power where none falls into them.

    Raises
    ------
    TypeError
        If `field` is no DataArray.
    ValueError
        If `dim`, `periodic` or `spatial_dims` names a dimension that the field lacks, if the field has one named
        ``wavenumber`` or a side of one cell, or if `spacing` is not above 0.

    Notes
    -----
    Areas are not weighed: a wave has no latitude. On a globe, take a region or a band in which cells are alike.

    Examples
    --------
    >>> x = np.arange(16)
    >>> waves = DataArray(np.tile(np.cos(2 * np.pi * x / 4), (16, 1)), dims=("y", "x"))
    >>> spectrum = power_spectrum(waves, periodic=("y", "x"))
    >>> spectrum.idxmax().item(), round(spectrum.sum().item(), 6)
    (0.25, 0.5)
    """
    spatial = check_fields(spatial_dims, field=field)
    if WAVENUMBER in field.dims:
        raise ValueError("field has a dimension 'wavenumber', which is that of the spectrum: rename it")
    others = list(field.dims)
    averaged: list[Hashable] = others if dim is None else list(dict.fromkeys(with_fields(dim, spatial) or ()))
    check_dims("dim", averaged, others)
    around: set[Hashable] = {periodic} if isinstance(periodic, str) else set(periodic)
    check_dims("periodic", around, list(spatial))
    for name in spatial:
        if field.sizes[name] < 2:
            raise ValueError(f"field has one cell along {name!r}, which has no waves: set spatial_dims")
    goes_around = (spatial[0] in around, spatial[1] in around)
    rings, middles = _rings((field.sizes[spatial[0]], field.sizes[spatial[1]]), goes_around, _spacings(spacing))
    if field.chunks is not None:
        field = chunked(field, dict.fromkeys(spatial, -1))
    power = xr.apply_ufunc(
        _power,
        field.astype("float64"),
        input_core_dims=[list(spatial)],
        output_core_dims=[[WAVENUMBER]],
        kwargs={"goes_around": goes_around, "rings": rings, "n_rings": len(middles)},
        dask="parallelized",
        output_dtypes=["float64"],
        dask_gufunc_kwargs={"output_sizes": {WAVENUMBER: len(middles)}},
    )
    spectrum = aggregate(power, reduce_dims=[d for d in averaged if d not in spatial])
    attrs = {"long_name": "wavenumber", "units": "1"}
    along = xr.Variable(WAVENUMBER, middles, attrs if spacing == 1.0 else {"long_name": "wavenumber"})
    return named(spectrum, "power_spectrum", squared(units_of(field))).assign_coords({WAVENUMBER: along})


def _spacings(spacing: float | tuple[float, float]) -> tuple[float, float]:
    sizes = (spacing, spacing) if isinstance(spacing, numbers.Real) else tuple(spacing)  # type: ignore[arg-type]
    if len(sizes) != 2 or not all(isinstance(size, numbers.Real) and 0.0 < size < np.inf for size in sizes):
        raise ValueError(f"spacing={spacing!r} must be a number above 0, or two of them, along y and x")
    return float(sizes[0]), float(sizes[1])


def _rings(
    shape: tuple[int, int], goes_around: tuple[bool, bool], spacings: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ring of each coefficient, (y, x), -1 for the mean, and the wavenumbers of the rings."""
    axes, widths = [], []
    for size, is_around, spacing in zip(shape, goes_around, spacings, strict=True):
        # a wave that goes around has whole cycles in the domain, a cosine half ones
        axes.append(np.fft.fftfreq(size, spacing) if is_around else np.arange(size) / (2.0 * size * spacing))
        widths.append(1.0 / (size * spacing) if is_around else 0.5 / (size * spacing))
    wavenumber, width = np.hypot(axes[0][:, None], axes[1]), max(widths)
    nearest = np.floor(wavenumber / width + 0.5 + ROUNDING).astype(int)  # halves all go up, not to the even one
    # the waves along the longer side that are longer than any along the shorter one are in the first ring too
    rings = np.maximum(nearest - 1, 0)
    middles = width * np.arange(1, rings.max() + 2)
    rings[0, 0] = -1
    return rings, middles


def _power(fields: np.ndarray, *, goes_around: tuple[bool, bool], rings: np.ndarray, n_rings: int) -> np.ndarray:
    """Return the power of each ring, (..., ring), of fields (..., y, x)."""
    coefficients = fields
    for axis, is_around in zip((-2, -1), goes_around, strict=True):
        if not is_around:  # first, as it takes real numbers
            coefficients = scipy.fft.dct(coefficients, axis=axis, norm="ortho")
    for axis, is_around in zip((-2, -1), goes_around, strict=True):
        if is_around:
            coefficients = scipy.fft.fft(coefficients, axis=axis, norm="ortho")
    squares = (abs(coefficients) ** 2 / rings.size).reshape(-1, rings.size)  # (field, cell)
    # row by row: bincount adds in one pass what is in the same ring
    flat, used = rings.ravel(), rings.ravel() >= 0
    power = [np.bincount(flat[used], row[used], n_rings) for row in squares]
    return np.reshape(power, (*fields.shape[:-2], n_rings))
