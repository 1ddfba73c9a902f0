"""Sums over cells that the scores of a backtest are taken of, and the scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from xarray import DataArray, Dataset

from gridcast import metrics
from gridcast.data.grid import TIME
from gridcast.metrics._checks import check_reference, check_same_labels
from gridcast.metrics._ensembles import sampling_variance
from gridcast.transformers.anomaly import Anomaly

INIT, LEAD = "init_time", "lead_time"  # the dimensions of a backtest


def score_cells(
    forecast: DataArray, observed: DataArray, persistence: DataArray, normal: DataArray | None, member_dim: str
) -> Dataset:
    """Return what each cell adds to the scores of one lead time, NaN where it adds nothing."""
    normals = {} if normal is None else {"climatology": normal}
    check_same_labels(forecast=forecast, observations=observed, **normals)
    forecast, observed, persistence = (x.astype("float64") for x in (forecast, observed, persistence.drop_vars(TIME)))
    mean = forecast.mean(member_dim, skipna=False) if member_dim in forecast.dims else forecast
    error = mean - observed  # NaN where either is missing
    squared_error, of_persistence = error**2, (persistence - observed) ** 2
    cells = {
        "seen": error.notnull().astype("float64"),
        "error": error,
        "absolute": abs(error),
        "squared": squared_error,
        # each skill over cells where both errors exist
        "squared_beside_persistence": squared_error.where(of_persistence.notnull()),
        "squared_of_persistence": of_persistence.where(error.notnull()),
    }
    if normal is not None:
        ours, theirs = mean - normal, observed - normal
        both = (ours * theirs).notnull()
        cells |= {
            "squared_beside_climatology": squared_error.where(both),
            "squared_of_climatology": (theirs**2).where(both),
            "anomaly_product": ours * theirs,
            "anomaly_of_forecast": (ours**2).where(both),
        }
    if member_dim in forecast.dims:
        cells["crps"] = metrics.crps(forecast, observed, dim=[], weights=None, member_dim=member_dim)
        if forecast.sizes[member_dim] > 1:
            variance = sampling_variance(forecast, observed, member_dim)
            cells["sampling_variance"] = variance.where(error.notnull())
    return Dataset({name: cell.drop_attrs() for name, cell in cells.items()}).reset_coords(drop=True)


def scores_of(sums: Dataset) -> Dataset:
    """Return the scores of sums over cells."""

    def ratio(above: str, below: str) -> DataArray:
        return sums[above] / sums[below].where(sums[below] > 0.0)

    scores = {
        "mse": ratio("squared", "seen"),
        "rmse": ratio("squared", "seen") ** 0.5,
        "mae": ratio("absolute", "seen"),
        "bias": ratio("error", "seen"),
        "mse_skill_persistence": 1.0 - ratio("squared_beside_persistence", "squared_of_persistence"),
    }
    if "anomaly_product" in sums:
        scale = (sums["anomaly_of_forecast"] * sums["squared_of_climatology"]) ** 0.5
        scores["mse_skill_climatology"] = 1.0 - ratio("squared_beside_climatology", "squared_of_climatology")
        scores["anomaly_correlation"] = sums["anomaly_product"] / scale.where(scale > 0.0)
    if "crps" in sums:
        scores["crps"] = ratio("crps", "seen")
    if "sampling_variance" in sums:
        scores["spread_skill_ratio"] = ratio("sampling_variance", "squared") ** 0.5
    return Dataset(scores)


def at(observations: DataArray, positions: np.ndarray) -> DataArray:
    """Return the observations at `positions`, by init_time in the place of time, NaN where one is -1."""
    taken = observations.isel({TIME: DataArray(positions, dims=INIT)})
    return taken if (positions >= 0).all() else taken.where(DataArray(positions >= 0, dims=INIT))


def normal_at(climatology: DataArray | Anomaly, observed: DataArray) -> DataArray:
    """Return the climatology at the times of `observed`."""
    if isinstance(climatology, Anomaly):
        zeros = xr.zeros_like(observed.swap_dims({INIT: TIME}))  # the cycle added to nothing is the cycle
        return climatology.inverse_transform(zeros).swap_dims({TIME: INIT})
    check_reference("climatology", climatology, (TIME, *(d for d in observed.dims if d != INIT)), "observations")
    if TIME not in climatology.dims:
        return climatology
    positions = positions_of(climatology, observed[TIME].values)
    if (positions < 0).any():
        raise ValueError(
            f"climatology has no {observed[TIME].values[positions < 0][0]}, which is forecast: give every such time, "
            "no time at all, or learn it from a training series, climatology=gridcast.Anomaly().fit(train)"
        )
    return at(climatology, positions)


def positions_of(series: DataArray, times: np.ndarray) -> np.ndarray:
    """Return where `times` are in a series, -1 where they are not."""
    return series.get_index(TIME).get_indexer(pd.Index(times.ravel())).reshape(times.shape)
