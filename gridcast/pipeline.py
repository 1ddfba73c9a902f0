"""A scikit-learn pipeline that forecasts in the units of the data it was given."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import xarray as xr
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from gridcast.data.drivers import AHEAD, PAST
from gridcast.data.grid import TIME, as_dataarray
from gridcast.data.parameters import shown
from gridcast.data.quantiles import check_levels, quantiles
from gridcast.evaluation.estimators import passes, refuse_units
from gridcast.evaluation.scorers import make_scorer
from gridcast.forecasters.horizon import is_horizon
from gridcast.forecasters.saved import ALL_FORMS, SavedForecaster
from gridcast.persistence.card import table
from gridcast.persistence.container import PathLike, write_file
from gridcast.persistence.encoding import Encoder


class ForecastPipeline(Pipeline):
    """`sklearn.pipeline.Pipeline` whose last step is a forecaster, with all methods of it but `log_likelihood`.

    Transformers in front of the forecaster are applied to every series that goes in and undone, in reverse order,
    in every forecast that comes out. So ``predict(12)`` works as on the forecaster itself, and the skill of `score` is
    that of the forecast in physical units. A fitted pipeline is kept with `save`.

    Parameters
    ----------
    steps : list of (str, estimator)
        Invertible transformers of gridded series, then a forecaster.
    transform_input, memory, verbose
        As in `sklearn.pipeline.Pipeline`.

    Examples
    --------
    >>> import numpy as np
    >>> import gridcast as gc
    >>> x = np.random.default_rng(0).normal(size=(40, 4, 4)) + np.tile([0.0, 10.0], 20).reshape(-1, 1, 1)
    >>> pipeline = gc.ForecastPipeline([("anomaly", gc.Anomaly(period=2)), ("naive", gc.NaiveForecaster())])
    >>> pipeline.fit(x).predict(2).shape
    (2, 4, 4)
    """

    def fit(
        self, X: Any, y: None = None, *, covariates: Any = None, past_covariates: Any = None, **params: Any
    ) -> Self:
        """Fit the transformers and the forecaster; covariates are for the latter, as they are.

        See `BaseForecaster.fit`. With scikit-learn's metadata routing the forecaster asks for them,
        ``set_fit_request(covariates=True)``.
        """
        given = _given(covariates, past_covariates)
        if not get_config()["enable_metadata_routing"]:
            given = {f"{self.steps[-1][0]}__{name}": value for name, value in given.items()}
        return super().fit(X, y, **given, **params)

    def predict(self, X: Any = None, horizon: int = 1, mode: str = "multi_step", **covariates: Any) -> xr.DataArray:
        """Forecast the predictive mean in physical units; see `BaseForecaster.predict`."""
        return self._forecast("predict", X, horizon=horizon, mode=mode, **covariates)

    def predict_samples(
        self, X: Any = None, horizon: int = 1, mode: str = "multi_step", n_samples: int = 100, **covariates: Any
    ) -> xr.DataArray:
        """Draw an ensemble in physical units; see `BaseForecaster.predict_samples`."""
        return self._forecast("predict_samples", X, horizon=horizon, mode=mode, n_samples=n_samples, **covariates)

    def predict_quantiles(
        self,
        X: Any = None,
        horizon: int = 1,
        mode: str = "multi_step",
        q: Any = (0.05, 0.5, 0.95),
        n_samples: int = 100,
        **covariates: Any,
    ) -> xr.DataArray:
        """Forecast quantiles, from samples in physical units; see `BaseForecaster.predict_quantiles`."""
        levels = check_levels(q)
        samples, last = self.predict_samples(X, horizon, mode, n_samples, **covariates), self[-1]
        return quantiles(samples, levels, last.recalibration_, last._sides(), mode)

    def calibrate(self, X: Any, horizon: int | None = None, n_samples: int = 50, **covariates: Any) -> Self:
        """Learn from later observations which intervals hold; see `BaseForecaster.calibrate`."""
        check_is_fitted(self)
        self[-1].calibrate(self.transform_series(X), horizon, n_samples, **covariates)
        return self

    def update(self, X: Any, **covariates: Any) -> Self:
        """Move the forecast origin past newly observed steps; see `BaseForecaster.update`."""
        check_is_fitted(self)
        refuse_units(self, covariates)
        X, recent = as_dataarray(X), self[-1].recent_
        if TIME in X.coords or recent.has_times:
            X = self.transform_series(X)
        else:  # the steps after those before: a cycle goes on with them
            steps = recent.times[-1] + 1 + np.arange(X.sizes[TIME])
            X = self.transform_series(X.assign_coords({TIME: steps})).drop_vars(TIME)
        self[-1].update(X, **covariates)
        return self

    def reconstruct(
        self, X: Any = None, n_samples: int | None = None, keep_observed: bool = True, **covariates: Any
    ) -> xr.DataArray:
        """Estimate the fields of a series from all that was observed; see `LinearForecaster.reconstruct`."""
        return self._forecast("reconstruct", X, n_samples=n_samples, keep_observed=keep_observed, **covariates)

    def score(
        self,
        X: Any,
        y: None = None,
        sample_weight: None = None,
        *,
        covariates: Any = None,
        past_covariates: Any = None,
        **params: Any,
    ) -> float:
        """Return the one-step skill against persistence in physical units; see `BaseForecaster.score`."""
        return make_scorer("skill", horizon=1, weights=None)(self, X, **_given(covariates, past_covariates))

    def save(self, path: PathLike, scores: Any = None) -> None:
        """Write the fitted pipeline to one file, from which `gridcast.load` makes one that forecasts the same.

        Parameters, safety and errors are those of `BaseForecaster.save`. `memory`, `verbose` and `transform_input`,
        which belong to `fit`, are not in the file.

        Raises
        ------
        ValueError
            If a step is of a class that is not gridcast's, which `gridcast.load` could not know; nothing is written.
        TypeError
            If the pipeline is of a class of your own.
        """
        check_is_fitted(self)
        if type(self) is not ForecastPipeline:
            raise TypeError(f"{type(self).__name__} is a class that load does not know: use joblib.dump")
        encoder = Encoder(ALL_FORMS)
        steps = [[name, _encoded(name, step, encoder)] for name, step in self.steps[:-1]]
        last, forecaster = self.steps[-1]
        if not isinstance(forecaster, SavedForecaster):
            raise ValueError(_not_saved(last, forecaster, "it is no forecaster of gridcast"))
        values = forecaster._pack(encoder) | {"steps": [*steps, [last, None]]}
        write_file(path, values, encoder.arrays, self.card(scores))

    def card(self, scores: Any = None) -> str:
        """Describe the fitted pipeline for people: its forecaster, see `BaseForecaster.card`, and its transformers."""
        check_is_fitted(self)
        rows = [(name, f"`{shown(step)}`") for name, step in self.steps[:-1]]
        before = table(("step", "transformer"), rows) if rows else "None."
        return f"{self[-1].card(scores)}\n## Steps before the forecaster\n\n{before}\n"

    def transform_series(self, X: Any) -> Any:
        """Apply the transformers in front of the forecaster to a series."""
        for _, step in self.steps[:-1]:
            X = X if passes(step) else step.transform(X)
        return X

    def inverse_transform_forecast(self, forecast: xr.DataArray) -> xr.DataArray:
        """Undo the transformers in front of the forecaster, in reverse order."""
        for _, step in reversed(self.steps[:-1]):
            forecast = forecast if passes(step) else step.inverse_transform(forecast)
        return forecast

    def _forecast(self, method: str, X: Any, **arguments: Any) -> xr.DataArray:
        check_is_fitted(self)
        refuse_units(self, arguments)
        given = X if X is None or is_horizon(X) else self.transform_series(X)
        return self.inverse_transform_forecast(getattr(self[-1], method)(given, **arguments))


def _given(covariates: Any, past_covariates: Any) -> dict[str, Any]:
    """Return the covariates that there are, by their names."""
    both = {AHEAD: covariates, PAST: past_covariates}
    return {name: value for name, value in both.items() if value is not None}


def _encoded(name: str, step: Any, encoder: Encoder) -> Any:
    """Return a step in front of the forecaster as a file holds it."""
    if passes(step):
        return step
    check_is_fitted(step)
    try:
        return encoder.encode(step, f"steps/{name}")
    except ValueError as error:
        raise ValueError(_not_saved(name, step, str(error))) from error


def _not_saved(name: str, step: Any, why: str) -> str:
    return (
        f"steps: {name}={shown(step)} can not be saved ({why}): use MinMaxTransformer, LogTransformer or Anomaly "
        "in front of a forecaster of gridcast, or keep the pipeline with joblib.dump"
    )
