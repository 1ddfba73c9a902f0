"""What a module is told: location channels, the way around the globe, and the channels of the user."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from gridcast.data.covariates import TimeFeatures
from gridcast.data.grid import unwrap
from gridcast.data.statistics import field_statistics
from gridcast.training.spec import ModuleSpec, location_channels

GLOBE, REGION = np.arange(0, 360, 60.0), np.arange(0, 60, 10.0)


def make_series(lon=GLOBE, missing=False):
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(24, 2, 4, len(lon)))
    values[5, 0, 1, 1] = np.nan if missing else 0.0
    coords = {"time": pd.date_range("2001-01-01", periods=24, freq="MS"), "lon": lon}
    return unwrap(xr.DataArray(values, dims=("time", "variable", "lat", "lon"), coords=coords))


def spec_of(lon=GLOBE, *, missing=False, **options):
    series, calendar = make_series(lon, missing)
    names = options.pop("names", ())
    defaults = {"static": None, "periodic": "auto", "located": True, "n_windows": 9}
    features = TimeFeatures(names, calendar) if names else None
    return ModuleSpec.of(series.grid, field_statistics(series.values), time_features=features, **(defaults | options))


@pytest.mark.parametrize("periodic", [(False, True), (True, True), (False, False)])
def test_location_channels_are_mean_and_deviation_and_where_a_cell_is(periodic):
    values = make_series()[0].values
    channels = location_channels(field_statistics(values), periodic)
    assert channels.shape == (4 + 2 + sum(periodic), 4, 6)
    np.testing.assert_allclose(channels[:2], values[0].mean(0), rtol=1e-5)
    np.testing.assert_allclose(channels[2:4], values[0].std(0), rtol=1e-5)
    if not periodic[0]:
        np.testing.assert_allclose(channels[4], np.linspace(-1, 1, 4)[:, None] * np.ones(6), atol=1e-6)
    if not any(periodic):
        np.testing.assert_allclose(channels[5], np.linspace(-1, 1, 6) * np.ones((4, 1)), atol=1e-6)


def test_periodic_columns_close_the_circle():
    circle = location_channels(field_statistics(make_series()[0].values), (False, True))[5:, 0]  # (2, x)
    torch.testing.assert_close(circle.square().sum(0), torch.ones(6))
    steps = (circle - circle.roll(-1, 1)).square().sum(0).sqrt()  # the last column to the first among them
    torch.testing.assert_close(steps, torch.full((6,), 2 * math.sin(math.pi / 6)))


@pytest.mark.parametrize("periodic", [(False, True), (True, True), (False, False)])
@pytest.mark.parametrize("size", [(1, 5), (4, 1), (1, 1)])
def test_a_single_row_or_column_has_finite_channels(size, periodic):
    values = np.random.default_rng(0).normal(size=(1, 9, 1, *size))
    assert location_channels(field_statistics(values), periodic).isfinite().all()


@pytest.mark.parametrize(
    ("lon", "periodic", "around"),
    [
        (GLOBE, "auto", (False, True)),
        (REGION, "auto", (False, False)),
        (REGION, "lon", (False, True)),
        (REGION, ("lat", "lon"), (True, True)),
        (GLOBE, (), (False, False)),
    ],
)
def test_the_way_around_the_globe_is_found_or_told(lon, periodic, around):
    spec = spec_of(lon, periodic=periodic)
    assert spec.periodic == around
    assert spec.frames(4).periodic == around
    assert len(spec.static) == 6 + sum(around)


@pytest.mark.parametrize("located", [True, False])
@pytest.mark.parametrize("n_given", [0, 2])
def test_the_channels_of_the_user_come_last(located, n_given):
    static = np.random.default_rng(1).normal(size=(n_given, 4, 6)).astype(np.float32) if n_given else None
    spec = spec_of(located=located, static=static)
    assert spec.n_given == spec.frames(2).n_given == n_given
    assert spec.frames(2).n_static == 7 * located + n_given
    if n_given:
        np.testing.assert_array_equal(spec.static[-n_given:], static)
    elif not located:
        assert spec.static is None


@pytest.mark.parametrize("missing", [True, False])
def test_an_encoder_sees_the_mask_where_values_are_missing(missing):
    spec = spec_of(missing=missing)
    assert spec.shape == (2, 4, 6)
    assert spec.n_windows == 9
    assert spec.complete is not missing
    assert spec.frames(4).n_inputs(2) == (4 if missing else 2)


def test_a_clock_turns_by_the_angle_of_a_step():
    assert spec_of().clock() is None
    spec = spec_of(names=("season",))
    assert spec.angles == pytest.approx((2 * math.pi / 12,))  # monthly
    assert spec.clock() is not None
