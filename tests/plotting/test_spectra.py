"""Spectra on logarithmic axes: what is drawn, what is left out, and what does not belong together."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from gridcast.metrics import power_spectrum
from gridcast.plotting import plot_spectrum
from gridcast.plotting._style import new_axes


@pytest.fixture
def observed():
    values = np.random.default_rng(0).normal(size=(10, 8, 12))
    return xr.DataArray(values, dims=("time", "y", "x"), attrs={"units": "K"})


def test_lines_are_the_spectra_up_to_half_a_cycle(observed):
    truth, half = power_spectrum(observed), power_spectrum((0.5 * observed).assign_attrs(units="K"))
    ax = plot_spectrum({"CNMM": half, "persistence": truth}, truth)
    assert [line.get_label() for line in ax.lines] == ["CNMM", "persistence", "observed"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["CNMM", "persistence", "observed"]
    full = truth["wavenumber"].values <= 0.5
    assert 0 < full.sum() < len(full)
    for line, spectrum in zip(ax.lines, (half, truth, truth), strict=True):
        np.testing.assert_allclose(line.get_xdata(), spectrum["wavenumber"][full])
        np.testing.assert_allclose(line.get_ydata(), spectrum[full])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("wavenumber [cycles per cell]", "power [K²]")
    assert to_hex(ax.lines[2].get_color()) == "#000000"
    assert ax.lines[1].is_dashed()


def test_wavenumbers_of_lengths_are_all_drawn_on_the_given_axes(observed):
    spectrum = power_spectrum(observed, spacing=25.0)
    given = new_axes(3.0, 3.0)
    ax = plot_spectrum({"CNMM": spectrum}, ax=given)
    assert ax is given
    assert len(ax.lines[0].get_xdata()) == spectrum.sizes["wavenumber"]
    assert ax.get_xlabel() == "wavenumber"


def test_no_power_is_left_out(observed):
    spectrum = power_spectrum(observed)
    spectrum[2] = 0.0
    values = plot_spectrum({"CNMM": spectrum}).lines[0].get_ydata()
    assert np.isnan(values[2])
    assert np.isfinite(values[[1, 3]]).all()


def test_what_does_not_belong_together_is_an_error(observed):
    spectrum = power_spectrum(observed)
    with pytest.raises(ValueError, match="spectra is empty: give one model or more"):
        plot_spectrum({})
    with pytest.raises(TypeError, match=r"spectra\['CNMM'\] must be a DataArray, not ndarray"):
        plot_spectrum({"CNMM": spectrum.values})
    with pytest.raises(ValueError, match=r"spectra\['CNMM'\] has the dimensions \('time', 'wavenumber'\), not a"):
        plot_spectrum({"CNMM": power_spectrum(observed, dim=())})
    with pytest.raises(ValueError, match=r"observed has other wavenumbers than spectra\['CNMM'\]"):
        plot_spectrum({"CNMM": spectrum}, power_spectrum(observed[..., :6]))
    with pytest.raises(ValueError, match=r"spectra must be of one unit, got \['K\^2', 'mm\^2'\]"):
        plot_spectrum({"CNMM": spectrum, "DMM": spectrum.assign_attrs(units="mm^2")})
