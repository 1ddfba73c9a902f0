"""Energy and variogram score: by hand, their limits, and what each of them sees."""

import dask
import numpy as np
import pytest
import xarray as xr

from gridcast import metrics

NAN = float("nan")
FIELD_SCORES = [metrics.energy_score, metrics.variogram_score]


def no_compute(*args, **kwargs):
    raise AssertionError("a metric computed the caller's data")


@pytest.fixture
def fields():
    """Three members of 2 x 2 fields on three days and their observations, with gaps."""
    rng = np.random.default_rng(0)
    labels = {"lat": [60.0, 0.0]}
    ensemble = xr.DataArray(rng.normal(size=(3, 3, 2, 2)), dims=("member", "time", "lat", "lon"), coords=labels)
    observed = xr.DataArray(rng.normal(size=(3, 2, 2)), dims=("time", "lat", "lon"), coords=labels)
    observed[0, 1, 0] = ensemble[2, 1, 0, 1] = NAN
    return ensemble, observed


def cells_of_a_day(fields, day):
    """Return members (member, cell), observations and weights of the cells that all have."""
    ensemble, observed = (data.isel(time=day).values.reshape(-1, 4) for data in fields)
    seen = np.isfinite(ensemble).all(0) & np.isfinite(observed[0])
    return ensemble[:, seen], observed[0, seen], np.array([0.5, 0.5, 1.0, 1.0])[seen]


@pytest.mark.parametrize("fair", [True, False])
def test_energy_score_by_hand(fair, fields):
    scores = metrics.energy_score(*fields, fair=fair, dim=())
    for day in range(3):
        members, truth, weights = cells_of_a_day(fields, day)

        def distance(a, b, weights=weights):
            return np.sqrt((weights * (a - b) ** 2).sum() / weights.sum())

        error = np.mean([distance(x, truth) for x in members])
        pairs = sum(distance(a, b) for a in members for b in members)
        assert scores[day].item() == pytest.approx(error - pairs / (2 * 3 * (2 if fair else 3)))
    assert metrics.energy_score(*fields, fair=fair).item() == pytest.approx(scores.mean().item())


@pytest.mark.parametrize("fair", [True, False])
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_variogram_score_by_hand(fair, order, fields):
    scores = metrics.variogram_score(*fields, order=order, fair=fair, dim=())
    for day in range(3):
        members, truth, weights = cells_of_a_day(fields, day)
        above = below = 0.0
        for i in range(len(truth)):
            for j in range(i):
                ours = abs(members[:, i] - members[:, j]) ** order
                square = (abs(truth[i] - truth[j]) ** order - ours.mean()) ** 2
                above += weights[i] * weights[j] * (square - fair * ours.var(ddof=1) / 3)
                below += weights[i] * weights[j]
        assert scores[day].item() == pytest.approx(above / below)


def test_pairs_within_a_lag():
    observed = xr.DataArray(np.random.default_rng(0).normal(size=(4, 5)), dims=("y", "x"))
    ensemble = observed.expand_dims("member") * 0.0
    truth, total, count = observed.values, 0.0, 0
    for y, x in np.ndindex(4, 5):
        for v, u in np.ndindex(4, 5):
            if (y, x) < (v, u) and abs(y - v) <= 2 and abs(x - u) <= 2:
                total, count = total + abs(truth[y, x] - truth[v, u]), count + 1
    assert metrics.variogram_score(ensemble, observed, max_lag=2).item() == pytest.approx(total / count)
    everything = metrics.variogram_score(ensemble, observed, max_lag=None)
    xr.testing.assert_allclose(everything, metrics.variogram_score(ensemble, observed, max_lag=99))
    assert everything.item() != pytest.approx(total / count)


def test_one_member_scores_the_rmse_of_each_map(fields):
    ensemble, observed = fields[0].isel(member=[0]), fields[1]
    rmse = metrics.rmse(ensemble[0], observed, dim=("lat", "lon")).mean()
    assert metrics.energy_score(ensemble, observed).item() == pytest.approx(rmse.item())
    single = [metrics.variogram_score(ensemble, observed, fair=fair).item() for fair in (True, False)]
    assert single[0] == single[1]


def test_the_energy_score_of_one_cell_is_the_crps(fields):
    ensemble, observed = (data.isel(lat=[0], lon=[1]) for data in fields)
    for dim in (None, ()):
        np.testing.assert_allclose(
            metrics.energy_score(ensemble, observed, dim=dim),
            metrics.crps(ensemble, observed, dim=None if dim is None else ("lat", "lon")),
        )
    assert np.isnan(metrics.variogram_score(ensemble, observed, dim=())).all()  # one cell has no pair


@pytest.mark.parametrize("metric", FIELD_SCORES)
def test_the_fair_score_does_not_depend_on_the_number_of_members(metric):
    rng = np.random.default_rng(0)
    draws = xr.DataArray(rng.normal(size=(21, 4000, 2, 3)), dims=("member", "time", "y", "x"))
    few, many = (metric(draws[1 : n + 1], draws[0]).item() for n in (2, 20))
    assert few == pytest.approx(many, rel=0.03)
    assert metric(draws[1:3], draws[0], fair=False).item() > 1.2 * many


def test_the_variogram_sees_structure_and_not_a_common_error():
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(11, 300, 1, 1)) + 0.1 * rng.normal(size=(11, 300, 4, 4))
    fields = xr.DataArray(smooth, dims=("member", "time", "y", "x"))
    observed, ensemble = fields[0], fields[1:]
    # Every cell from another member: the same distribution in each cell, without correlation.
    shuffled = ensemble.copy(data=rng.permuted(ensemble.values, axis=0))
    scores = [metrics.variogram_score(x, observed).item() for x in (ensemble, shuffled, ensemble + 3.0)]
    assert scores[1] > 5.0 * scores[0]
    assert scores[2] == pytest.approx(scores[0])
    assert metrics.energy_score(ensemble + 3.0, observed).item() > 2.0 * metrics.energy_score(ensemble, observed).item()


@pytest.mark.parametrize("metric", FIELD_SCORES)
def test_kept_dimensions_weights_and_laziness(metric, fields):
    ensemble, observed = fields
    leads = xr.concat([ensemble, ensemble + xr.DataArray([0.0, 5.0], dims="lon")], "lead_time")
    by_lead = metric(leads, observed, dim="time")
    assert by_lead.dims == ("lead_time",)
    np.testing.assert_allclose(by_lead[0], metric(ensemble, observed))
    with dask.config.set(scheduler=no_compute):
        lazy = metric(leads.chunk(1), observed.chunk(1), dim="time", weights=metrics.latitude_weights(observed))
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), by_lead)
    days = xr.DataArray([1.0, 0.0, 3.0], dims="time")
    by_day = metric(ensemble, observed, dim=(), weights=None)
    expected = (by_day[0] + 3.0 * by_day[2]).item() / 4.0
    assert metric(ensemble, observed, weights=days).item() == pytest.approx(expected)


@pytest.mark.parametrize("metric", FIELD_SCORES)
def test_fields_may_have_other_dimensions(metric, fields):
    turned = [data.transpose("lat", "lon", ...) for data in fields]
    xr.testing.assert_allclose(metric(*turned, spatial_dims=("lat", "lon")), metric(*fields))
    with pytest.raises(ValueError, match=r"spatial_dims has 'x', which is none of the dimensions .* of forecast"):
        metric(*fields, spatial_dims=("lat", "x"))
    with pytest.raises(ValueError, match=r"spatial_dims=\('lat',\) must be two dimensions"):
        metric(*fields, spatial_dims=("lat",))
    with pytest.raises(ValueError, match=r"spatial_dims=\('time',\) must be two dimensions"):
        metric(*(data.isel(lat=0, lon=0) for data in fields))


def test_units(ensemble, observed):
    assert metrics.energy_score(ensemble, observed).attrs == {"units": "mm/day"}
    units = [metrics.variogram_score(ensemble, observed, order=p).attrs for p in (0.5, 1.0, 2.0)]
    assert units == [{"units": "mm/day"}, {"units": "(mm/day)^2"}, {}]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"order": 0.0}, ValueError, r"order=0\.0 must be a finite number above 0"),
        ({"order": NAN}, ValueError, "order=nan must be a finite number above 0"),
        ({"max_lag": 0}, ValueError, "max_lag=0 must be an integer of at least 1"),
        ({"max_lag": 1.5}, TypeError, r"max_lag=1\.5 must be an integer of at least 1"),
    ],
)
def test_parameters_that_make_no_sense_are_an_error(options, error, message, fields):
    with pytest.raises(error, match=message):
        metrics.variogram_score(*fields, **options)
