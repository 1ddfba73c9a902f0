"""Every estimator, fitted once a module."""

import numpy as np
import pytest
from every import N_TRAIN, NAMES, Fitted, make_estimators, make_series
from linear_processes import labelled, linear_field
from small import NEURAL

import gridcast as gc


@pytest.fixture(scope="module", params=NAMES)
def fitted(request):
    series = make_series()
    return Fitted(request.param, make_estimators()[request.param].fit(series[:N_TRAIN]), series)


@pytest.fixture(scope="module", params=NEURAL)
def fitted_neural(request):
    series = make_series()
    return Fitted(request.param, make_estimators()[request.param].fit(series[:N_TRAIN]), series)


@pytest.fixture(scope="session")
def linear_train():
    """A series of which every cell is an autoregression."""
    return labelled(linear_field(1500))


@pytest.fixture(scope="session")
def linear_model(linear_train):
    return gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(linear_train)


@pytest.fixture(scope="session")
def linear_later(linear_train):
    """What follows it."""
    times = linear_train.time.values[-1] + (1 + np.arange(200)) * np.timedelta64(1, "D")
    return labelled(linear_field(200, seed=8)).assign_coords(time=times)
