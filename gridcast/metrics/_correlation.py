"""Correlation of anomalies."""

from __future__ import annotations

from scores.processing import aggregate
from xarray import DataArray

from gridcast.metrics._checks import Dims, check_reference, check_same_labels, checked, named
from gridcast.metrics._weights import Weights


def anomaly_correlation(
    forecast: DataArray,
    observed: DataArray,
    climatology: DataArray,
    *,
    centred: bool = False,
    dim: Dims = None,
    weights: Weights = "auto",
) -> DataArray:
    r"""
    Correlation of the anomalies from climatology: 1 is perfect, 0 is as good as climatology's.

    With the anomalies :math:`f'` and :math:`o'` of forecast and observation and the weighted mean over `dim`,

    .. math:: \overline{f' o'} \; / \; \sqrt{\overline{f'^2} \; \overline{o'^2}}

    This uncentred form counts a mean error against the forecast, for the climatology is the centre; it is that of
    WeatherBench 2 (Rasp et al., J. Adv. Model. Earth Syst. 16, 2024). The centred form, that of the World
    Meteorological Organization, subtracts each side's mean anomaly over `dim` first; Wilks (Statistical Methods in
    the Atmospheric Sciences, 2011, section 8.6.4) compares the two.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised. Of an ensemble, pass the mean:
        ``forecast.mean("member")``.
    climatology : DataArray of shape (time, y, x), (y, x), or any other
        The normal value at every valid time, in the same units, such as a forecast of
        ``NaiveForecaster("climatology")``. A dimension that it lacks is broadcast.
    centred : bool, default=False
        Whether to subtract the mean anomalies.

    Returns
    -------
    DataArray
        The correlation over the dimensions not in `dim`, between -1 and 1 and without units. NaN where either
        side has no anomaly at all.

    Notes
    -----
    ``dim=("lat", "lon")`` is the correlation of each map; without `dim` products and squares of all maps are
    pooled before the ratio is taken, so that a map of large anomalies counts for more.

    Examples
    --------
    >>> normal = DataArray([10.0, 20.0, 30.0], dims="x")
    >>> observed = normal + DataArray([1.0, 2.0, 3.0], dims="x")
    >>> forecast = normal + DataArray([-1.0, 0.0, 1.0], dims="x")
    >>> round(anomaly_correlation(forecast, observed, normal).item(), 3)
    0.378
    >>> anomaly_correlation(forecast, observed, normal, centred=True).item()
    1.0
    """
    check_same_labels(forecast=forecast, observed=observed, climatology=climatology)
    check_reference("climatology", climatology, dict.fromkeys((*forecast.dims, *observed.dims)))
    forecast, observed = (data.astype("float64") - climatology.astype("float64") for data in (forecast, observed))
    exists = forecast.notnull() & observed.notnull()  # the same cells in the product and both norms
    forecast, observed, dims, weights = checked(forecast.where(exists), observed.where(exists), dim, weights)

    def mean(cells: DataArray) -> DataArray:
        return aggregate(cells, reduce_dims=dims, weights=weights)

    if centred:
        forecast, observed = forecast - mean(forecast), observed - mean(observed)
    scale = (mean(forecast**2) * mean(observed**2)) ** 0.5
    return named(mean(forecast * observed) / scale.where(scale > 0.0), "anomaly_correlation", "1")
