"""Members that agree with what is given of the future."""

import numpy as np
import pytest
import torch
import xarray as xr
from linear_processes import labelled, linear_field
from single import on_device

import gridcast as gc
from gridcast.forecasters import scenarios


@pytest.fixture(scope="module")
def box(linear_model):
    field = xr.zeros_like(linear_model.predict(1)[0], dtype=float).drop_vars("time")
    field[:4, :4] = 1.0
    return field


def mean_of(members, box):
    return ((members * box).sum(("y", "x")) / box.sum()).mean("time")


def test_cells_are_met_and_their_past_follows_as_it_exactly_does(linear_model, box):
    free = linear_model.predict_samples(3, n_samples=200)
    last = (free.mean("member")[2] + 2.0).where(box > 0)
    members = linear_model.predict_samples(3, n_samples=200, given=last.expand_dims("time"))
    np.testing.assert_allclose(members[:, 2].where(box > 0).mean("member"), last, atol=1e-3)
    # an autoregression: the steps before move with their covariance, and spread less
    v = [0.25 * sum(0.64**k for k in range(lead)) for lead in (1, 2, 3)]
    moved = (members - free).where(box > 0).mean(("member", "y", "x")).values
    gain = [0.64 * v[0] / v[2], 0.8 * v[1] / v[2]]
    np.testing.assert_allclose(moved[:2], [2 * g for g in gain], rtol=0.05)
    spread = members.where(box > 0).var("member").mean(("y", "x")).values
    exact = [v[0] - gain[0] ** 2 * v[2], v[1] - gain[1] ** 2 * v[2]]
    np.testing.assert_allclose(spread[:2], exact, rtol=0.1)  # variances: 5 % of the spread
    # elsewhere nothing changes
    np.testing.assert_allclose(members[..., 8:], free[..., 8:], atol=0.3)


def test_means_of_a_region_are_within_their_range(linear_model, box):
    free = mean_of(linear_model.predict_samples(4, n_samples=100), box)
    low = float(free.mean() + 0.5 * free.std())
    given = gc.AreaMean(box, between=(low, low + float(free.std())))
    found = mean_of(linear_model.predict_samples(4, n_samples=100, given=given), box)
    assert float(found.min()) >= low - 1e-3
    assert float(found.max()) <= low + float(free.std()) + 1e-3
    assert float(found.std()) > 0.1 * float(free.std())
    exact = mean_of(linear_model.predict_samples(4, n_samples=20, given=gc.AreaMean(box, between=(low, low))), box)
    np.testing.assert_allclose(exact, low, atol=1e-3)


def test_a_region_in_another_precision_is_of_the_same_grid(linear_train, box):
    train = linear_train[:300].assign_coords(y=60 + 0.1 * np.arange(box.sizes["y"]))
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(train)
    region = box.assign_coords(y=train.y.astype("f4"))
    found = model.predict_samples(2, n_samples=5, given=gc.AreaMean(region, (281, 281)))
    np.testing.assert_allclose(mean_of(found, box.assign_coords(y=found.y)), 281, atol=1e-2)
    with pytest.raises(ValueError, match="region is of another grid along 'y'"):
        model.predict_samples(2, n_samples=5, given=gc.AreaMean(region.assign_coords(y=region.y + 0.1), (281, 281)))


def test_several_conditions_hold_together(linear_model, box):
    time = linear_model.predict(3).time
    other = box.roll(x=6)
    given = [gc.AreaMean(box, (281.0, 281.0), times=time.values[:1]), gc.AreaMean(other, (279.0, 279.0))]
    members = linear_model.predict_samples(3, n_samples=10, given=given)
    np.testing.assert_allclose(mean_of(members[:, :1], box), 281, atol=1e-2)
    np.testing.assert_allclose(mean_of(members, other), 279, atol=1e-2)


def test_chosen_days_need_not_be_equally_far_apart(linear_model, box):
    wanted = (linear_model.predict(5) + 1).where(box > 0)
    members = linear_model.predict_samples(5, n_samples=5, given=wanted[[3, 0, 1]])
    met = members.where(box > 0).mean("member")
    np.testing.assert_allclose(met[[3, 0, 1]], wanted[[3, 0, 1]], atol=1e-2)
    assert abs(met - wanted)[2].max() > 0.1
    with pytest.raises(TypeError, match=r"given: .*time must be datetime64"):
        linear_model.predict_samples(5, n_samples=5, given=wanted.assign_coords(time=list("abcde")))


def test_what_is_given_in_other_units_is_told(linear_train):
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0)
    given = model.fit(linear_train[:300].assign_attrs(units="K")).predict(1)
    with pytest.warns(UserWarning, match="given is in 'degC' and the training series in 'K'") as told:
        model.predict_samples(1, n_samples=3, given=given.assign_attrs(units="degC"))
    assert told[0].filename == __file__


class Labelled(gc.MinMaxTransformer):
    """A transformer of the user's, which knows labels only."""


@pytest.mark.parametrize("n_samples", [1, 2])
def test_a_transformer_of_the_users_meets_what_is_given(linear_train, box, n_samples):
    train = xr.concat([linear_train[:200], linear_train[200:400].assign_coords(time=linear_train.time[:200])], "sample")
    train = train if n_samples == 2 else train[0]
    members = []
    for transformer in (gc.MinMaxTransformer(), Labelled()):
        model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0, transformer=transformer)
        known = (model.fit(train).predict(3)[..., :1, :, :] + 1).where(box > 0)
        given = [known, gc.AreaMean(box.roll(x=6), (281.0, 281.0))]
        members.append(model.predict_samples(3, n_samples=4, given=given))
    np.testing.assert_allclose(*members, rtol=1e-6)


def test_what_no_member_meets_is_refused(linear_model, box):
    with pytest.raises(ValueError, match=r"no member meets AreaMean\(between=\(400, 401\)\)"):
        linear_model.predict_samples(2, n_samples=10, given=gc.AreaMean(box, between=(400, 401)))


def test_other_conditions_are_refused(linear_model, box):
    forecast = linear_model.predict(2)
    later = forecast.assign_coords(time=forecast.time + np.timedelta64(30, "D"))
    with pytest.raises(ValueError, match="which is not forecast"):
        linear_model.predict_samples(2, n_samples=3, given=later)
    with pytest.raises(ValueError, match=r"given: .* entries along 'y'"):
        linear_model.predict_samples(2, n_samples=3, given=forecast[:, :4])
    with pytest.raises(ValueError, match="region is of another grid along 'x'"):
        linear_model.predict_samples(2, n_samples=3, given=gc.AreaMean(box[:, :5], (280, 281)))
    with pytest.raises(TypeError, match=r"given must be a DataArray, a gridcast\.AreaMean"):
        linear_model.predict_samples(2, n_samples=3, given=3.0)
    with pytest.raises(ValueError, match='mode="multi_step"'):
        linear_model.predict_samples(2, mode="one_step", n_samples=3, given=forecast)
    with pytest.raises(ValueError, match="given needs the linear model"):
        gc.NaiveForecaster().fit(labelled(linear_field(60))).predict_samples(2, n_samples=2, given=forecast)
    with pytest.raises(ValueError, match="between"):
        gc.AreaMean(box, between=(2, 1))
    with pytest.raises(TypeError, match="region must be a DataArray"):
        gc.AreaMean(np.ones((2, 2)), between=(1, 2))


def test_what_one_day_tells_reaches_the_last():
    weight = 0.95
    series = labelled(linear_field(800, weight=weight, noise=0.3, shape=(16, 16)))
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, horizon=20, random_state=0).fit(series)
    box = xr.zeros_like(model.predict(1)[0], dtype=float).drop_vars("time")
    box[:8, :8] = 1.0
    free = model.predict_samples(20, n_samples=5)
    level = float(mean_of(free[:, :1], box).mean()) + 1
    given = gc.AreaMean(box, (level, level), times=free.time.values[:1])
    moved = (model.predict_samples(20, n_samples=5, given=given) - free).where(box > 0).mean(("member", "y", "x"))
    np.testing.assert_allclose(moved, weight ** np.arange(20), atol=0.08)


@pytest.fixture(scope="module")
def rain_model():
    rng = np.random.default_rng(0)
    rain = np.maximum(linear_field(600) - 280, 0) * (1 + rng.random((600, 1, 1)))
    return gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(
        labelled(rain.astype(np.float32))
    )


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.0])
def test_a_mean_of_rain_is_that_of_members_that_are_never_below_zero(rain_model, box, factor):
    level = factor * float(mean_of(rain_model.predict_samples(3, n_samples=30), box).mean())
    members = rain_model.predict_samples(3, n_samples=30, given=gc.AreaMean(box, (level, level)))
    assert float(members.min()) == 0
    np.testing.assert_allclose(mean_of(members, box), level, rtol=0.01)


def test_means_are_summed_in_double_precision_on_any_device():
    fields = torch.full((2, 3, 1, 40, 50), 1 / 3)
    exact = fields[0].numel() * float(fields[0, 0, 0, 0, 0])
    np.testing.assert_allclose(scenarios._sums(on_device(fields)), exact, rtol=1e-12)


def test_less_than_no_rain_is_refused(rain_model, box):
    with pytest.raises(ValueError, match=r"natural bound of the series: give a range"):
        rain_model.predict_samples(3, n_samples=5, given=gc.AreaMean(box, (-1.0, -1.0)))


def test_a_region_that_was_never_observed_is_refused(linear_train, box):
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0)
    model.fit(linear_train[:200].where(box == 0))
    with pytest.raises(ValueError, match="region that was never observed in training"):
        model.predict_samples(2, n_samples=3, given=gc.AreaMean(box, (280.0, 281.0)))


def test_a_range_that_all_members_are_in_changes_none(rain_model, linear_model, box):
    for model, top in ((rain_model, 50.0), (linear_model, 500.0)):
        free = model.predict_samples(3, n_samples=30)
        members = model.predict_samples(3, n_samples=30, given=gc.AreaMean(box, (0.0, top)))
        np.testing.assert_allclose(members, free, atol=1e-4)


def test_a_little_more_rain_leaves_most_dry_cells_dry(rain_model, box):
    free = rain_model.predict_samples(3, n_samples=50)
    level = 1.2 * float(mean_of(free, box).mean())
    members = rain_model.predict_samples(3, n_samples=50, given=gc.AreaMean(box, (level, level)))
    dry, before = ((m.where(box > 0, drop=True) == 0).mean() for m in (members, free))
    assert 0.7 * before < dry < before
    # what is given of one cell does not wet the others
    known = xr.full_like(free[0], np.nan).drop_vars("member")
    known[0, 7, 11] = float(free.max())
    members = rain_model.predict_samples(3, n_samples=50, given=known)
    assert float((members == 0).mean()) > 0.95 * float((free == 0).mean())
    np.testing.assert_allclose(members[:, 0, 7, 11], known[0, 7, 11], rtol=1e-4)


def test_a_mean_that_holds_already_stays_beside_one_that_does_not(rain_model, linear_model, box):
    for model, top in ((rain_model, 50.0), (linear_model, 500.0)):
        other = box.roll(x=6)
        level = 1.1 * float(mean_of(model.predict_samples(3, n_samples=20), other).max())
        level = min(level, 281.0)
        given = [gc.AreaMean(box, (0.0, top)), gc.AreaMean(other, (level, level))]
        members = model.predict_samples(3, n_samples=20, given=given)
        np.testing.assert_allclose(mean_of(members, other), level, rtol=0.01)
