"""Every estimator, fitted once a module."""

import pytest
from every import N_TRAIN, NAMES, Fitted, make_estimators, make_series
from small import NEURAL


@pytest.fixture(scope="module", params=NAMES)
def fitted(request):
    series = make_series()
    return Fitted(request.param, make_estimators()[request.param].fit(series[:N_TRAIN]), series)


@pytest.fixture(scope="module", params=NEURAL)
def fitted_neural(request):
    series = make_series()
    return Fitted(request.param, make_estimators()[request.param].fit(series[:N_TRAIN]), series)
