"""A forecaster of someone else: one file, one decorator."""

import numpy as np
import pytest
import xarray as xr
from every import N_TRAIN, make_series
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import gridcast as gc
from gridcast.data.parameters import whole
from gridcast.forecasters import BaseForecaster, forecaster, parameter
from gridcast.forecasters.registry import find, is_registered
from gridcast.persistence.forms import check_array, take


@forecaster
class MovingAverage(BaseForecaster):
    """The mean of the last `width` steps."""

    width: int = parameter(whole(), "int", "Steps that are averaged.", default=3)

    def _n_context(self):
        return self.width

    def _fit(self, series, calendar):
        self.check_parameters()
        return {"missing_share_": 0.0, "spread_": series.load(0, len(series)).std(axis=(0, 1))}

    def _forecast(self, history, origins, horizon, n_samples):
        means = [history.load(o - self.width + 1, o + 1).mean(axis=1) for o in origins]
        mean = np.stack(means, axis=1)[None, :, :, None].repeat(horizon, axis=3)
        if n_samples is None:
            return mean
        rng = np.random.default_rng(self.random_state)
        return mean + self.spread_ * rng.standard_normal((n_samples, *mean.shape[1:]), dtype=np.float32)

    def _learned(self):
        return {"spread": self.spread_}

    def _relearn(self, learned):
        (spread,) = take(learned, "spread")
        return {"spread_": check_array(spread, self.grid_.shape, "learned/spread")}


def test_a_class_of_ones_own_forecasts_saves_loads_and_is_searched(tmp_path):
    series = make_series()
    train, test = series[:N_TRAIN], series[N_TRAIN:]
    model = MovingAverage(width=2, random_state=0).fit(train)
    np.testing.assert_allclose(model.predict(1)[0], train[-2:].mean("time"), rtol=1e-5)
    model.save(tmp_path / "mine")
    loaded = gc.load(tmp_path / "mine")
    assert type(loaded) is MovingAverage
    assert loaded.width == 2
    xr.testing.assert_identical(loaded.predict_samples(3, n_samples=4), model.predict_samples(3, n_samples=4))
    assert np.isfinite(gc.backtest(loaded, test, 3)).all()
    assert clone(model).width == 2
    assert repr(model) == "MovingAverage(random_state=0, width=2)" or repr(model) == (
        "MovingAverage(width=2, random_state=0)"
    )
    search = GridSearchCV(MovingAverage(), {"width": [1, 6]}, cv=gc.WindowSplitter(window=8)).fit(train)
    assert search.best_params_ == {"width": 1}
    with pytest.raises(TypeError, match="MovingAverage has no parameter 'widht': did you mean 'width'"):
        MovingAverage(widht=3)


def test_a_name_that_is_taken_or_unknown_is_refused():
    assert is_registered(MovingAverage)
    assert not is_registered(type("MovingAverage", (MovingAverage,), {}))
    with pytest.raises(ValueError, match=r"class CNMMForecaster: gridcast\.forecasters\.cnmm has a forecaster of that"):
        forecaster(type("CNMMForecaster", (BaseForecaster,), {"__module__": "mine"}))
    with pytest.raises(ValueError, match=r"class='Nobody' is no forecaster that is known here.*import the module"):
        find("Nobody")
