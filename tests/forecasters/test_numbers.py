"""Values at the edge of single precision: a right forecast, or an error whose advice helps."""

import numpy as np
import pytest
import xarray as xr
from shift import Shift
from small import small

import gridcast as gc

WALK = np.random.default_rng(0).normal(size=(40, 4, 4)).cumsum(0)
FORECASTERS = pytest.mark.parametrize(
    "make", [gc.NaiveForecaster, lambda: gc.NaiveForecaster("climatology", period=4), lambda: small("linear")]
)


def series(values):
    return xr.DataArray(values, dims=("time", "y", "x"))


@FORECASTERS
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("value", [1e39, 1e300, -1e300])
def test_a_single_value_beyond_single_precision_is_refused_and_masked(make, value, lazy):
    values = WALK.copy()
    values[7, 1, 2] = value
    X = series(values).chunk(time=10) if lazy else series(values)
    with pytest.raises(ValueError, match=r"single precision can not hold.*X\.where\(abs\(X\) < 1e30\)"):
        make().fit(X)
    assert np.isfinite(make().fit(X.where(abs(X) < 1e30)).predict(2)).all()


@FORECASTERS
@pytest.mark.parametrize("value", [0.0, 1e-44, 1e-3, 1.0, 1e8, -1e17])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_constant_forecasts_itself(make, value, dtype):
    forecast = make().fit(series(np.full((40, 4, 4), value, dtype))).predict(2)
    np.testing.assert_allclose(forecast, value, rtol=1e-6, atol=1e-6)


@FORECASTERS
def test_a_constant_beyond_single_precision_in_another_unit(make):
    X = series(np.full((40, 4, 4), 1e39))
    with pytest.raises(ValueError, match=r"another unit, X / 1e\+39"):
        make().fit(X)
    np.testing.assert_allclose(make().fit(X / 1e39).predict(2), 1, rtol=1e-6)


@pytest.mark.parametrize("transformer", [gc.MinMaxTransformer(), gc.Anomaly(), Shift()])
@pytest.mark.parametrize("values", [1e8 + WALK / 4, 1e10 + WALK / 4, 10**8 + (WALK / 4).astype(int)])
@pytest.mark.parametrize("lazy", [False, True])
def test_any_transformer_refuses_what_would_be_lost_in_single_precision(transformer, values, lazy):
    X = series(values).chunk(time=10) if lazy else series(values)
    with pytest.raises(ValueError, match=r"single precision has steps of .*, X - \S+$") as error:
        small("linear", transformer=transformer).fit(X)
    offset = float(str(error.value).rpartition("X - ")[2])
    forecast = small("linear", transformer=transformer, random_state=0).fit(X - offset).predict(2)
    expected = small("linear", transformer=transformer, random_state=0).fit(series(values - offset)).predict(2)
    np.testing.assert_array_equal(forecast, expected)
    assert float(forecast.max() - forecast.min()) > 0.1


def test_an_anomaly_refuses_what_its_cycle_would_lose():
    X = series(1e8 + WALK / 4)
    with pytest.raises(ValueError, match=r"single precision has steps of 1e\+01: .*, X - 99999"):
        gc.Anomaly(4).fit(X)
    single = X.astype("float32")  # has lost it already
    np.testing.assert_array_equal(gc.Anomaly(4).fit_transform(single) + gc.Anomaly(4).fit(single)._cycle_of(X), single)


@FORECASTERS
def test_a_spread_that_single_precision_can_not_tell_is_refused(make):
    X = series(1e8 + WALK / 4)
    with pytest.raises(ValueError, match=r"single precision has steps of 1e\+01: .*, X - 99999"):
        make().fit(X)
    offset = float(X.min())
    forecast = make().fit(X - offset).predict(2)
    np.testing.assert_allclose(forecast, make().fit(series(WALK / 4 - WALK.min() / 4)).predict(2), atol=1e-4)


@FORECASTERS
@pytest.mark.parametrize("factor", [1e-40, 1e-320])
def test_a_spread_below_single_precision_in_another_unit(make, factor):
    X = series(WALK * factor)
    with pytest.raises(ValueError, match="another unit, X / "):
        make().fit(X)
    assert np.isfinite(make().fit(X / factor).predict(2)).all()


@FORECASTERS
@pytest.mark.parametrize("factor", [1e-25, 1e-6, 1e6, 1e25])
def test_a_unit_changes_nothing_else(make, factor):
    scaled = make().fit(series(WALK * factor)).predict(2)
    np.testing.assert_allclose(scaled / factor, make().fit(series(WALK)).predict(2), rtol=1e-3, atol=1e-3)
