"""The forecaster behind an estimator: behind the steps of a pipeline, or chosen by a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr
from sklearn.pipeline import Pipeline

from gridcast.forecasters.base import BaseForecaster

Undo = Callable[[xr.DataArray], xr.DataArray]


def resolve(estimator: Any, X: Any) -> tuple[BaseForecaster, Any, Undo]:
    """Return the forecaster, the series as it takes it, and what brings its forecasts to the units of the estimator.

    Raises
    ------
    TypeError
        If there is no forecaster behind `estimator`.
    """
    estimator = chosen(estimator)
    if isinstance(estimator, BaseForecaster):
        return estimator, X, lambda forecast: forecast
    last = chosen(estimator[-1]) if isinstance(estimator, Pipeline) else None
    if not isinstance(last, BaseForecaster):
        raise TypeError(
            f"estimator is a {type(estimator).__name__}: give a fitted forecaster, a Pipeline or ForecastPipeline that "
            "ends with one, or a search over these that was fitted with refit=True"
        )
    undo = getattr(estimator, "inverse_transform_forecast", lambda forecast: forecast)
    return last, estimator[:-1].transform(X) if len(estimator) > 1 else X, undo  # fitted steps only transform


def chosen(estimator: Any) -> Any:
    """Return what a fitted search has found to be the best, of any other estimator itself."""
    return getattr(estimator, "best_estimator_", estimator)


def refuse_units(estimator: Any, arguments: Mapping[str, Any]) -> None:
    """Raise a ValueError for an argument in the units of the series, where steps of a pipeline change them."""
    estimator = chosen(estimator)
    if not isinstance(estimator, Pipeline) or all(passes(step) for _, step in estimator.steps[:-1]):
        return
    for name in ("observation_error", "given"):
        if arguments.get(name) is not None:
            raise ValueError(
                f"{name} is in the units of X, which the steps in front of the forecaster change: give the "
                "transformer to the forecaster, transformer=..., or call it with a transformed series"
            )


def passes(step: Any) -> bool:
    """Whether a step of a pipeline leaves the series as it is."""
    return step is None or step == "passthrough"
