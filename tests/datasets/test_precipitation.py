import pickle

import numpy as np
import pandas as pd
import pytest

from gridcast.datasets import make_precipitation

SCALE = (2 / 80) ** 2  # of squared errors, by (0, 80) -> (-1, 1)


@pytest.fixture(scope="module")
def precip():
    return make_precipitation(random_state=0)


@pytest.fixture(scope="module")
def anomaly(precip):
    """What ten years leave beside their mean year, in the year's first to last pentad."""
    return by_year(precip) - by_year(precip).mean(0)


def by_year(precip):
    return precip.values.reshape(-1, 73, *precip.shape[1:])


def test_labels(precip):
    assert precip.dims == ("time", "lat", "lon")
    assert precip.shape == (730, 72, 144)
    assert precip.dtype == np.float32
    assert precip.name == "precip"
    assert precip.attrs["units"] == "mm/day"
    np.testing.assert_array_equal(precip.lat, np.linspace(88.75, -88.75, 72))
    np.testing.assert_array_equal(precip.lon, np.linspace(1.25, 358.75, 144))


def test_other_shapes_are_cell_centres():
    precip = make_precipitation(3, shape=(3, 7), random_state=0)
    np.testing.assert_allclose(precip.lat, [60, 0, -60])
    np.testing.assert_allclose(precip.lon, (np.arange(7) + 0.5) * 360 / 7)
    assert np.isfinite(precip).all()


def test_pentads_begin_on_the_same_dates_each_year(precip):
    time = pd.DatetimeIndex(precip.time.values)
    assert precip.time.dtype == "datetime64[ns]"
    dates = time.strftime("%m-%d").to_numpy().reshape(10, 73)
    assert (dates == dates[0]).all()
    assert list(dates[0, [0, 1, 11, 12, 72]]) == ["01-01", "01-06", "02-25", "03-02", "12-27"]
    assert list(time.year.to_numpy().reshape(10, 73)[:, 0]) == list(range(1979, 1989))
    days = np.diff(time).astype("timedelta64[D]").astype(int)
    six_days = [str(day.date()) for day in time[:-1][days != 5]]
    assert six_days == ["1980-02-25", "1984-02-25", "1988-02-25"]
    assert set(days) == {5, 6}


def test_values_are_skewed_dry_in_places_and_below_80(precip):
    values = precip.values.astype(np.float64)
    assert values.min() == 0
    assert values.max() < 80
    assert np.mean(values == 0) == pytest.approx(0.274, abs=0.01)
    assert np.mean(values[0] == 0) == pytest.approx(0.274, abs=0.05)
    assert np.mean((values - values.mean()) ** 3) / values.std() ** 3 > 1


def test_standard_deviation_is_the_mean(precip):
    mean, variance = by_year(precip).mean(0), by_year(precip).var(0, ddof=1)
    unbiased_square = mean**2 - variance / 10
    assert variance.mean() / unbiased_square.mean() == pytest.approx(1, rel=0.05)


def test_errors_of_persistence_and_climatology_are_those_of_cmap(precip):
    persistence = SCALE * np.mean(np.diff(precip.values, axis=0) ** 2)
    years = by_year(precip)
    climatology = SCALE * np.mean(years.var(0, ddof=1))
    assert 8e-3 < persistence < 1.1e-2
    assert 5e-3 < climatology < 8e-3


def test_anomalies_are_predictable_from_their_surroundings(precip):
    # Moved along by 5 cells in the storm tracks, an anomaly is worth more than persistence and the mean year.
    track = np.abs(np.abs(precip.lat.values) - 45) < 4
    year_mean = by_year(precip).mean(0)
    ratio = (by_year(precip) / year_mean)[..., track, :].reshape(730, track.sum(), 144)
    moved = 1 + 0.65 * (np.roll(ratio[:-1], 5, axis=-1) - 1)
    expected = np.tile(year_mean[:, track], (10, 1, 1))[1:]
    truth = precip.values[1:, track]
    forecast = np.mean((moved * expected - truth) ** 2)
    assert forecast < 0.6 * np.mean((precip.values[:-1, track] - truth) ** 2)
    assert forecast < 0.8 * np.mean((expected - truth) ** 2)


@pytest.mark.parametrize(("lat", "shift"), [(45, 5), (-45, 5), (0, -3)])
def test_weather_drifts_east_in_the_storm_tracks_and_west_at_the_equator(precip, anomaly, lat, shift):
    # 12 and 8 degrees per pentad are 4.8 and 3.2 cells of 2.5 degrees.
    row = np.abs(precip.lat.values - lat).argmin()
    series = anomaly[:, :, row].reshape(730, 144)
    shifts = np.arange(-12, 13)
    correlation = [np.mean(series[1:] * np.roll(series[:-1], step, axis=1)) for step in shifts]
    assert shifts[np.argmax(correlation)] == shift
    assert max(correlation) / series.var() == pytest.approx(0.65, abs=0.08)


def test_convergence_zone_follows_the_sun(precip):
    tropics = precip.sel(lat=slice(20, -20)).mean("lon")
    centre = (tropics * tropics.lat).sum("lat") / tropics.sum("lat")
    month = centre.groupby("time.month").mean()
    assert month.idxmax("month") in (7, 8)
    assert month.idxmin("month") in (1, 2)
    assert 5 < float(month.max() - month.min()) < 16


@pytest.mark.parametrize(("lat", "wet", "dry"), [(45, (12, 1, 2), (6, 7, 8)), (-45, (6, 7, 8), (12, 1, 2))])
def test_storm_tracks_are_strongest_in_winter(precip, lat, wet, dry):
    month = precip.sel(lat=lat, method="nearest").mean("lon").groupby("time.month").mean()
    assert month.sel(month=list(wet)).mean() > 1.4 * month.sel(month=list(dry)).mean()


def test_tropics_are_wetter_over_the_warm_pool(precip):
    tropics = precip.sel(lat=slice(10, -5)).mean(("time", "lat"))
    warm_pool, between = tropics.sel(lon=slice(125, 155)).mean(), tropics.sel(lon=slice(65, 95)).mean()
    assert warm_pool / between == pytest.approx(1.25 / 0.75, rel=0.15)


def test_the_seam_is_like_any_meridian(precip):
    steps = np.mean((precip.values - np.roll(precip.values, 1, axis=2)) ** 2, axis=(0, 1))
    assert steps[0] == pytest.approx(np.median(steps[1:]), rel=0.25)
    assert steps[0] <= max(steps[1:])


def test_weather_keeps_its_variance(precip):
    years = by_year(precip).std(axis=(1, 2, 3))
    assert years.max() / years.min() < 1.15


def test_random_state_decides_everything():
    short = make_precipitation(5, shape=(9, 12), random_state=1)
    assert short.identical(make_precipitation(5, shape=(9, 12), random_state=1))
    assert short.identical(make_precipitation(80, shape=(9, 12), random_state=1)[:5])
    assert not short.equals(make_precipitation(5, shape=(9, 12), random_state=2))
    assert not make_precipitation(5, shape=(9, 12)).equals(make_precipitation(5, shape=(9, 12)))


@pytest.mark.parametrize("random_state", [None, 0, np.random.default_rng(0), np.random.RandomState(0)])
def test_global_random_state_is_untouched(random_state):
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    make_precipitation(3, shape=(5, 6), random_state=random_state)
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"n_times": 0}, ValueError, "n_times must be at least 1, got 0"),
        ({"n_times": 7.5}, TypeError, "n_times must be an integer, got 7.5"),
        ({"shape": (72, 2)}, ValueError, r"shape\[1\] must be at least 3, got 2"),
        ({"random_state": []}, TypeError, r"random_state must be None.*got \[\] of type list"),
    ],
)
def test_bad_arguments(kwargs, error, match):
    with pytest.raises(error, match=match):
        make_precipitation(**kwargs)
