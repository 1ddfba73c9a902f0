"""Whether forecasts are as rough as the observations."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from gridcast.data.units import units_of
from gridcast.plotting._checks import check_array
from gridcast.plotting._labels import with_units
from gridcast.plotting._style import legend_above, line_styles, new_axes

_WAVENUMBER = "wavenumber"


def plot_spectrum(
    spectra: Mapping[str, xr.DataArray], observed: xr.DataArray | None = None, *, ax: Axes | None = None
) -> Axes:
    """
    Draw power spectra against wavenumber, one line a model, both axes logarithmic.

    A line below that of the observations at high wavenumbers is of fields that are too smooth, as means of members are
    by their nature; one above is of noise.

    Parameters
    ----------
    spectra : mapping of str to DataArray of shape (wavenumber,)
        Each model's spectrum as :func:`gridcast.metrics.power_spectrum` returns it, averaged over all but the
        wavenumber. ``persistence`` and ``climatology`` are dashed and grey.
    observed : DataArray of shape (wavenumber,), default=None
        The spectrum of the observations, drawn in black.
    ax : Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The lines of the models in the order of `spectra`, then the observations. Wavenumbers that count cycles per cell
        end at half a cycle, beyond which rings are not full; power that is zero is left out.

    Raises
    ------
    TypeError
        If a spectrum is no DataArray.
    ValueError
        If there is none, if one has another dimension than ``wavenumber``, or if wavenumbers or units differ.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from gridcast.metrics import power_spectrum
    >>> from gridcast.plotting import plot_spectrum
    >>> noise = xr.DataArray(np.random.default_rng(0).normal(size=(8, 8)), dims=("y", "x"), attrs={"units": "K"})
    >>> ax = plot_spectrum({"CNMM": power_spectrum(0.5 * noise)}, power_spectrum(noise))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('wavenumber [cycles per cell]', 'power [K²]')
    """
    given = {f"spectra[{name!r}]": spectrum for name, spectrum in spectra.items()}
    if observed is not None:
        given["observed"] = observed
    first = _check_spectra(given)
    per_cell = first[_WAVENUMBER].attrs.get("units") == "1"
    ax = new_axes(5.5, 4.2) if ax is None else ax
    styles = [*line_styles(spectra).items()]
    if observed is not None:
        styles.append(("observed", {"color": "black", "linewidth": 1.8, "zorder": 1.9}))
    for (name, style), spectrum in zip(styles, given.values(), strict=True):
        shown = spectrum.where(spectrum > 0.0)  # zero has no logarithm
        if per_cell:
            shown = shown.where(shown[_WAVENUMBER] <= 0.5 + 1e-9, drop=True)
        ax.plot(shown[_WAVENUMBER].values, shown.values, label=name, **style)
    ax.set(xscale="log", yscale="log", xlabel="wavenumber [cycles per cell]" if per_cell else "wavenumber")
    ax.set_ylabel(with_units("power", units_of(*given.values())))
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    legend_above(ax)
    return ax


def _check_spectra(given: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Return the first of the spectra, checked to have one dimension, one unit and the same wavenumbers."""
    if not given:
        raise ValueError('spectra is empty: give one model or more, {"CNMM": power_spectrum(ensemble)}')
    for name, spectrum in given.items():
        check_array(name, spectrum)
        if spectrum.dims != (_WAVENUMBER,) or _WAVENUMBER not in spectrum.coords:
            raise ValueError(
                f"{name} has the dimensions {spectrum.dims}, not a labelled wavenumber alone: give "
                "gridcast.metrics.power_spectrum(field), or average the others"
            )
    (begin, first), *others = given.items()
    for name, spectrum in others:
        if not spectrum[_WAVENUMBER].equals(first[_WAVENUMBER]):
            raise ValueError(f"{name} has other wavenumbers than {begin}: take both spectra of the same grid")
    units = {str(spectrum.attrs["units"]) for spectrum in given.values() if "units" in spectrum.attrs}
    if len(units) > 1:
        raise ValueError(f"spectra must be of one unit, got {sorted(units)}")
    return first
