"""Spectra: waves by hand, the variance they add up to, and what may be missing."""

import dask
import numpy as np
import pytest
import xarray as xr

from gridcast import metrics

NAN = float("nan")
ALL = ("y", "x")


@pytest.fixture
def noise():
    values = np.random.default_rng(0).normal(size=(3, 5, 12, 16)) + 7.0
    return xr.DataArray(values, dims=("member", "time", "y", "x"), attrs={"units": "K"})


@pytest.mark.parametrize(("ky", "kx"), [(0, 3), (3, 0), (3, 4), (-3, 4)])
def test_a_wave_has_its_power_at_its_wavenumber(ky, kx):
    y, x = np.mgrid[:16, :16]
    wave = xr.DataArray(3.0 * np.cos(2 * np.pi * (ky * y + kx * x) / 16 + 0.3) + 5.0, dims=ALL)
    spectrum = metrics.power_spectrum(wave, periodic=ALL)
    expected = np.zeros(spectrum.sizes["wavenumber"])
    expected[round(np.hypot(ky, kx)) - 1] = 4.5  # the variance of a wave of amplitude 3
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)
    np.testing.assert_allclose(spectrum["wavenumber"][:3], [1 / 16, 2 / 16, 3 / 16])


def test_a_cosine_between_two_ends_has_its_power_at_its_wavenumber():
    y, x = np.mgrid[:8, :8]
    cosines = np.cos(np.pi * 3 * (y + 0.5) / 8) * np.cos(np.pi * 4 * (x + 0.5) / 8)
    spectrum = metrics.power_spectrum(xr.DataArray(cosines, dims=ALL))
    expected = np.zeros(spectrum.sizes["wavenumber"])
    expected[4] = 0.25
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)
    assert spectrum["wavenumber"][4].item() == pytest.approx(5 / 16)


@pytest.mark.parametrize("size", [8, 12, 100])
def test_waves_between_two_rings_are_in_the_shorter_one(size):
    """Along a side twice as long every other wave is at half a ring."""
    for kx in range(1, size, 2):
        wave = np.cos(2 * np.pi * kx * (np.arange(2 * size) + 0.5) / (2 * size))
        spectrum = metrics.power_spectrum(xr.DataArray(np.tile(wave, (size, 1)), dims=ALL), periodic=ALL)
        assert spectrum.values.argmax() == (kx + 1) // 2 - 1


@pytest.mark.parametrize("periodic", [(), "x", ("y",), ALL])
def test_the_sum_is_the_variance(periodic, noise):
    spectrum = metrics.power_spectrum(noise, periodic=periodic, dim="time")
    assert spectrum.dims == ("member", "wavenumber")
    np.testing.assert_allclose(spectrum.sum("wavenumber"), noise.var(ALL).mean("time"))
    assert (spectrum.name, spectrum.attrs) == ("power_spectrum", {"units": "K^2"})
    xr.testing.assert_allclose(metrics.power_spectrum(noise, periodic=periodic), spectrum.mean("member"))


def test_a_jump_between_the_ends_is_none_for_a_cosine_transform():
    ramp = xr.DataArray(np.tile(np.arange(32.0), (32, 1)), dims=ALL)
    small = [
        metrics.power_spectrum(ramp, periodic=p).where(lambda s: s.wavenumber > 0.25).sum().item() for p in ((), ALL)
    ]
    assert small[0] < 0.01 * small[1]


def test_a_mean_of_members_is_smoother_than_they(noise):
    of_members, of_mean = metrics.power_spectrum(noise), metrics.power_spectrum(noise.mean("member"))
    np.testing.assert_allclose((of_mean / of_members)[:8], 1 / 3, atol=0.2)


def test_a_turned_field_has_the_same_spectrum(noise):
    spectrum = metrics.power_spectrum(noise, periodic="x")
    turned = noise.transpose("member", "time", "x", "y")
    xr.testing.assert_allclose(metrics.power_spectrum(turned, periodic="x"), spectrum)
    xr.testing.assert_allclose(metrics.power_spectrum(noise[..., ::-1, :], periodic="x"), spectrum)
    named = metrics.power_spectrum(noise.transpose("y", ...), periodic="x", spatial_dims=ALL)
    xr.testing.assert_allclose(named, spectrum)


def test_spacing_makes_wavenumbers_of_lengths():
    y, x = np.mgrid[:16, :32]
    for spacing, wave in (((2.0, 1.0), np.cos(2 * np.pi * y / 4)), ((2.0, 1.0), np.cos(2 * np.pi * x / 8))):
        spectrum = metrics.power_spectrum(xr.DataArray(wave, dims=ALL), periodic=ALL, spacing=spacing)
        assert spectrum.idxmax().item() == pytest.approx(1 / 8)
    half = metrics.power_spectrum(xr.DataArray(wave, dims=ALL), spacing=0.5)
    np.testing.assert_allclose(
        half["wavenumber"], 2.0 * metrics.power_spectrum(xr.DataArray(wave, dims=ALL))["wavenumber"]
    )
    assert "units" not in half["wavenumber"].attrs


def test_a_field_with_a_missing_cell_is_left_out(noise):
    gap = noise.copy()
    gap[0, 2, 3, 3] = NAN
    expected = metrics.power_spectrum(noise.stack(case=("member", "time")).transpose("case", ...)[np.arange(15) != 2])
    np.testing.assert_allclose(metrics.power_spectrum(gap), expected)
    by_field = metrics.power_spectrum(gap, dim=())
    assert by_field.isnull().sum() == by_field.sizes["wavenumber"]
    assert by_field.isel(member=0, time=2).isnull().all()


def test_lazy_stays_lazy_and_integers_do_not_wrap(noise):
    with dask.config.set(scheduler=lambda *args, **kwargs: pytest.fail("computed the caller's data")):
        lazy = metrics.power_spectrum(noise.chunk(2), dim="member")
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), metrics.power_spectrum(noise, dim="member"))
    counts = xr.DataArray(np.random.default_rng(0).integers(0, 255, (8, 8)).astype("uint8"), dims=ALL)
    np.testing.assert_allclose(metrics.power_spectrum(counts).sum(), counts.astype(float).var())


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda x: x, {"periodic": "lon"}, r"periodic has 'lon', which is none of the dimensions \['y', 'x'\]"),
        (lambda x: x, {"dim": "lead_time"}, "dim has 'lead_time', which is none of the dimensions"),
        (lambda x: x, {"spacing": 0.0}, r"spacing=0\.0 must be a number above 0"),
        (lambda x: x, {"spacing": (1.0, 2.0, 3.0)}, r"spacing=\(1\.0, 2\.0, 3\.0\) must be a number above 0, or two"),
        (lambda x: x, {"spatial_dims": ("y", "lon")}, "spatial_dims has 'lon', which is none of the dimensions"),
        (lambda x: x[..., :1], {}, "field has one cell along 'x', which has no waves: set spatial_dims"),
        (lambda x: x.rename(member="wavenumber"), {}, r"field has a dimension 'wavenumber'.*rename it"),
    ],
)
def test_what_has_no_spectrum_is_an_error(change, options, message, noise):
    with pytest.raises(ValueError, match=message):
        metrics.power_spectrum(change(noise), **options)


def test_an_array_without_labels_is_an_error(noise):
    with pytest.raises(TypeError, match="field must be a DataArray, not ndarray"):
        metrics.power_spectrum(noise.values)
