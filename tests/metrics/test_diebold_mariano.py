"""The test of two backtests: by hand, its size, and overlapping forecasts."""

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import gridcast as gc
from gridcast import metrics

NAN = float("nan")


def make_backtests(n_inits=12, n_leads=3, stride=1, n_cells=2):
    """Return two backtests of noise and their observations, from every `stride`-th day."""
    times = pd.date_range("2001-01-01", periods=stride * n_inits + n_leads)
    origins = stride * np.arange(n_inits)
    valid = xr.DataArray(
        times.values[origins[:, None] + np.arange(1, n_leads + 1)],
        dims=("init_time", "lead_time"),
        coords={"init_time": times.values[origins], "lead_time": np.arange(1, n_leads + 1)},
    )
    rng = np.random.default_rng(0)
    labels = {**valid.coords, "time": valid, "lat": [0.0, 60.0][:n_cells]}
    shape = (*valid.shape, n_cells)
    arrays = [xr.DataArray(rng.normal(size=shape), dims=(*valid.dims, "lat"), coords=labels) for _ in range(3)]
    return [array.assign_attrs(units="K") for array in arrays]


def by_hand(difference, h):
    """Return the statistic of Harvey, Leybourne and Newbold and its p-value."""
    n, anomaly = len(difference), difference - difference.mean()
    variance = (anomaly**2).mean()
    for k in range(1, h):
        variance += 2.0 * (anomaly[k:] * anomaly[:-k]).sum() / n
    statistic = difference.mean() / np.sqrt(variance / n) * np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    return statistic, 2.0 * stats.t.sf(abs(statistic), n - 1)


def test_by_hand():
    first, second, observed = make_backtests()
    tests = metrics.diebold_mariano(first, second, observed)
    weights = metrics.latitude_weights(observed)
    losses = [((x - observed) ** 2).weighted(weights).mean("lat") for x in (first, second)]
    np.testing.assert_array_equal(tests["overlap"], [1, 2, 3])
    for lead in range(3):
        difference = (losses[0] - losses[1]).values[:, lead]
        statistic, p_value = by_hand(difference, lead + 1)
        assert tests["difference"].values[lead] == pytest.approx(difference.mean())
        assert tests["statistic"].values[lead] == pytest.approx(statistic)
        assert tests["p_value"].values[lead] == pytest.approx(p_value)
    assert [part.attrs["units"] for part in tests.values()] == ["K^2", "1", "1", "1"]
    np.testing.assert_array_equal(tests["lead_time"], [1, 2, 3])


@pytest.mark.parametrize(("stride", "overlap"), [(1, [1, 2, 3]), (2, [1, 1, 2]), (3, [1, 1, 1])])
def test_the_overlap_is_read_from_the_times(stride, overlap):
    tests = metrics.diebold_mariano(*make_backtests(stride=stride))
    np.testing.assert_array_equal(tests["overlap"], overlap)


def test_the_overlap_of_months_and_of_steps():
    for times in (xr.date_range("2001-01-01", periods=15, freq="MS", use_cftime=True).values, np.arange(15)):
        valid = times[np.arange(12)[:, None] + np.arange(1, 4)]
        labels = {"init_time": times[:12], "time": (("init_time", "lead_time"), valid)}
        first, second, observed = (x.drop_vars("time").assign_coords(labels) for x in make_backtests())
        np.testing.assert_array_equal(metrics.diebold_mariano(first, second, observed)["overlap"], [1, 2, 3])


def test_the_two_may_change_places():
    first, second, observed = make_backtests()
    one, other = (metrics.diebold_mariano(*pair, observed) for pair in ((first, second), (second, first)))
    np.testing.assert_allclose(one["statistic"], -other["statistic"])
    np.testing.assert_allclose(one["p_value"], other["p_value"])


def test_a_cell_that_one_lacks_counts_for_neither():
    first, second, observed = make_backtests()
    gaps = [x.copy() for x in (first, second, observed)]
    for array, day in zip(gaps, (2, 4, 6), strict=True):
        array[day, :, 1] = NAN
    expected = metrics.diebold_mariano(*(x.where(gaps[0] + gaps[1] + gaps[2] < np.inf) for x in gaps))
    xr.testing.assert_identical(metrics.diebold_mariano(*gaps), expected)
    changed = first.copy()
    changed[6, :, 1] = 1e6
    xr.testing.assert_allclose(
        metrics.diebold_mariano(changed, second, gaps[2]), metrics.diebold_mariano(first, second, gaps[2])
    )


def test_equal_backtests_and_cells_never_observed_have_no_statistic():
    first, second, observed = make_backtests()
    tests = metrics.diebold_mariano(first, first, observed)
    assert (tests["difference"] == 0.0).all()
    assert tests["p_value"].isnull().all()
    maps = metrics.diebold_mariano(first, second, observed.where(observed["lat"] > 0.0), dim=())
    assert maps["p_value"].dims == ("lead_time", "lat")
    np.testing.assert_array_equal(maps["p_value"].isnull().all("lead_time"), [True, False])
    single = metrics.diebold_mariano(*(x.sel(lat=[60.0]) for x in (first, second, observed)))
    np.testing.assert_allclose(maps["p_value"].sel(lat=60.0), single["p_value"])


def test_ensembles_by_their_mean_or_their_crps():
    first, second, observed = make_backtests()
    spread = xr.DataArray([-1.0, 0.0, 1.0], dims="member")
    ensembles = [first + spread, second + spread.isel(member=[0, 2])]
    by_mean = metrics.diebold_mariano(*ensembles, observed)
    xr.testing.assert_allclose(by_mean, metrics.diebold_mariano(first, second, observed))
    by_crps = metrics.diebold_mariano(*ensembles, observed, score="crps")
    expected = [metrics.crps(x, observed, dim=("init_time", "lat")) for x in ensembles]
    np.testing.assert_allclose(by_crps["difference"], expected[0] - expected[1])
    assert by_crps["difference"].attrs["units"] == "K"


@pytest.mark.parametrize("lead", [1, 3])
def test_it_finds_a_difference_as_often_as_chance_where_there_is_none(lead):
    # Errors that are sums over the lead, as those of a random walk: overlapping forecasts share them.
    rng = np.random.default_rng(0)
    n, cases = 100, 400
    steps = rng.normal(size=(2, n + lead, cases))
    errors = sum(steps[:, k : n + k] for k in range(lead))
    valid = np.arange(n)[:, None] + lead
    labels = {"init_time": np.arange(n), "lead_time": [lead], "time": (("init_time", "lead_time"), valid)}
    dims = ("init_time", "lead_time", "x")
    first, second = (xr.DataArray(e[:, None], dims=dims, coords=labels) for e in errors)
    observed = xr.zeros_like(first)
    share = (metrics.diebold_mariano(first, second, observed, dim=())["p_value"] < 0.05).mean().item()
    assert 0.02 < share < 0.09
    independent = first.assign_coords(time=(("init_time", "lead_time"), valid - lead + 1))
    careless = metrics.diebold_mariano(
        independent,
        second.assign_coords(time=independent["time"]),
        observed.assign_coords(time=independent["time"]),
        dim=(),
    )
    assert lead == 1 or (careless["p_value"] < 0.05).mean() > 0.13
    worse = metrics.diebold_mariano(first, 1.5 * second, observed, dim=())
    assert (worse["p_value"] < 0.05).mean() > 0.5
    assert (worse["difference"] < 0.0).mean() > 0.9


def test_of_two_forecasters():
    noise = np.random.default_rng(0).normal(size=(160, 3, 3))
    series = xr.DataArray(noise, dims=("time", "y", "x"), coords={"time": np.arange(160)})
    train, test = series[:100], series[100:]
    models = (gc.NaiveForecaster("climatology"), gc.NaiveForecaster())
    first, second = (gc.backtest(model.fit(train), test, horizon=2) for model in models)
    tests = metrics.diebold_mariano(first, second, series.sel(time=first["time"]))
    assert (tests["difference"] < 0.0).all()
    assert (tests["p_value"] < 0.01).all()


def test_lazy_backtests_are_computed():
    arrays = make_backtests()
    with dask.config.set(scheduler="synchronous"):
        tests = metrics.diebold_mariano(*(x.chunk(2) for x in arrays))
    xr.testing.assert_allclose(tests, metrics.diebold_mariano(*arrays))


def test_what_can_not_be_tested_is_an_error():
    first, second, observed = make_backtests()
    with pytest.raises(ValueError, match="score='mae' is unknown"):
        metrics.diebold_mariano(first, second, observed, score="mae")
    with pytest.raises(TypeError, match="second must be a DataArray, not ndarray"):
        metrics.diebold_mariano(first, second.values, observed)
    with pytest.raises(ValueError, match="first and second differ along 'init_time': 12 against 11 steps"):
        metrics.diebold_mariano(first, second[:-1], observed)
    with pytest.raises(ValueError, match="dim has 'init_time', which is none of the dimensions"):
        metrics.diebold_mariano(first, second, observed, dim="init_time")
    with pytest.raises(ValueError, match=r"first has the dimensions .*give what gridcast\.backtest returns"):
        metrics.diebold_mariano(*(x.isel(lead_time=0) for x in (first, second, observed)))
    with pytest.raises(ValueError, match=r"first has 3 initial times, of which 3 overlap at lead 3: give more"):
        metrics.diebold_mariano(*(x[:3] for x in (first, second, observed)))
    with pytest.raises(ValueError, match=r"no 'member' in .*set member_dim"):
        metrics.diebold_mariano(first, second, observed, score="crps")
    with pytest.raises(ValueError, match="second has the dimension 'level'"):
        metrics.diebold_mariano(first, second.expand_dims(level=2), observed)
