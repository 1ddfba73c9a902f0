"""The anomaly correlation: hand-computed values, the scores package and its two forms."""

import dask
import numpy as np
import pytest
import xarray as xr
from scores.continuous import correlation

from gridcast import metrics

NAN = float("nan")


@pytest.fixture
def climatology(observed):
    """One normal field for both days, 2 mm/day everywhere."""
    return xr.full_like(observed.isel(time=0, drop=True), 2.0)


def test_uncentred_by_hand(forecast, observed, climatology):
    # Anomalies of the first day: forecast -1, -2, 2, -1 and observed -2, -1, 0, 1.
    expected = (2.0 + 2.0 + 0.0 - 1.0) / (10.0 * 6.0) ** 0.5
    by_time = metrics.anomaly_correlation(forecast, observed, climatology, dim=("lat", "lon"), weights=None)
    assert by_time[0].item() == pytest.approx(expected)
    # The rows at 60 degrees count half.
    weighted = metrics.anomaly_correlation(forecast, observed, climatology, dim=("lat", "lon"))
    assert weighted[0].item() == pytest.approx((0.5 * 4.0 - 1.0) / ((0.5 * 5.0 + 5.0) * (0.5 * 5.0 + 1.0)) ** 0.5)
    # The second day: forecast 5, 7, 8 and observed 2, 4, 5; the missing cell counts nowhere.
    assert by_time[1].item() == pytest.approx(78.0 / (138.0 * 45.0) ** 0.5)
    pooled = metrics.anomaly_correlation(forecast, observed, climatology, weights=None)
    assert pooled.item() == pytest.approx((3.0 + 78.0) / ((10.0 + 138.0) * (6.0 + 45.0)) ** 0.5)


def test_centred_is_the_correlation_of_scores(forecast, observed, climatology):
    centred = metrics.anomaly_correlation(forecast, observed, climatology, centred=True, dim="lat", weights=None)
    expected = correlation.pearsonr(forecast - climatology, observed - climatology, reduce_dims="lat")
    np.testing.assert_allclose(centred.isel(time=0), expected.isel(time=0))
    pooled = metrics.anomaly_correlation(forecast, observed, climatology, centred=True, weights=None)
    expected = correlation.pearsonr((forecast - climatology).where(observed.notnull()), observed - climatology)
    assert pooled.item() == pytest.approx(expected.item())


def test_a_constant_error_counts_in_the_uncentred_form_alone(observed, climatology):
    shifted = observed + 5.0
    assert metrics.anomaly_correlation(shifted, observed, climatology, centred=True).item() == pytest.approx(1.0)
    assert metrics.anomaly_correlation(shifted, observed, climatology).item() < 0.95
    assert metrics.anomaly_correlation(observed, observed, climatology).item() == pytest.approx(1.0)
    opposite = 2.0 * climatology - observed
    assert metrics.anomaly_correlation(opposite, observed, climatology).item() == pytest.approx(-1.0)


def test_no_anomaly_is_nan_and_a_missing_normal_is_left_out(forecast, observed, climatology):
    assert np.isnan(metrics.anomaly_correlation(xr.zeros_like(observed) + 2.0, observed, climatology))
    half = climatology.where(climatology["lat"] > 0.0)
    expected = metrics.anomaly_correlation(*(x.sel(lat=[60.0]) for x in (forecast, observed, climatology)))
    assert metrics.anomaly_correlation(forecast, observed, half).item() == pytest.approx(expected.item())


def test_name_and_labels(forecast, observed, climatology):
    score = metrics.anomaly_correlation(forecast, observed, climatology, dim="lat")
    assert (score.name, score.attrs) == ("anomaly_correlation", {"units": "1"})
    with pytest.raises(ValueError, match="forecast and climatology differ along 'lat'"):
        metrics.anomaly_correlation(forecast, observed, climatology[::-1])


@pytest.mark.parametrize("centred", [False, True])
def test_lazy_stays_lazy(centred, forecast, observed, climatology):
    def no_compute(*args, **kwargs):
        raise AssertionError("a metric computed the caller's data")

    with dask.config.set(scheduler=no_compute):
        lazy = metrics.anomaly_correlation(forecast.chunk(1), observed.chunk(1), climatology, centred=centred)
    assert lazy.chunks is not None
    eager = metrics.anomaly_correlation(forecast, observed, climatology, centred=centred)
    xr.testing.assert_allclose(lazy.compute(), eager)
