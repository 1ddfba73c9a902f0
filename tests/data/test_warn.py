"""A warning stands at the line of the user, however deep in the package it comes up."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.model_selection import GridSearchCV

import gridcast as gc

CALLS: dict[str, Callable[[Any, xr.DataArray], Any]] = {
    "predict": lambda model, x: model.predict(x, 2),
    "predict_samples": lambda model, x: model.predict_samples(x, 2, n_samples=2),
    "predict_quantiles": lambda model, x: model.predict_quantiles(x, 2, q=(0.5,), n_samples=2),
    "backtest": lambda model, x: gc.backtest(model, x, 2),
}


def field(units: str) -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(40, 4, 4))
    return xr.DataArray(values, dims=("time", "y", "x"), attrs={"units": units})


@pytest.mark.parametrize("name", CALLS)
def test_of_other_units(name: str) -> None:
    model = gc.LinearForecaster(horizon=2, random_state=0).fit(field("K"))
    with pytest.warns(UserWarning, match="X is in 'degC'") as told:
        CALLS[name](model, field("degC"))
    assert {one.filename for one in told if "degC" in str(one.message)} == {__file__}


def test_of_what_a_pipeline_fits() -> None:
    marked = field("K")
    marked[3, 2, 2] = -999.0
    model = gc.ForecastPipeline([("scale", gc.MinMaxTransformer()), ("forecast", gc.NaiveForecaster())])
    with pytest.warns(UserWarning, match="X goes down to -999") as told:
        model.fit(marked)
    assert {one.filename for one in told} == {__file__}


def test_of_what_a_search_fits() -> None:
    marked = field("K")
    marked[:, 2, 2] = -999.0
    search = GridSearchCV(gc.NaiveForecaster(), {}, cv=gc.WindowSplitter(window=4, n_splits=2))
    with pytest.warns(UserWarning, match="X goes down to -999") as told:
        search.fit(marked)
    assert {one.filename for one in told} == {__file__}
