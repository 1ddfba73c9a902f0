"""What a user asks of a fitted forecaster: means, ensembles, quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from gridcast.data.checks import check_positive_integer
from gridcast.data.grid import wrap
from gridcast.data.quantiles import check_levels, quantiles
from gridcast.forecasters.calibrated import CalibratedForecaster

Mode = Literal["multi_step", "one_step"]


class PredictingForecaster(CalibratedForecaster):
    """Forecasts DataArrays: from the end of the training series, or from that of another history."""

    def predict(
        self,
        X: Any = None,
        horizon: int = 1,
        mode: Mode = "multi_step",
        *,
        covariates: Any = None,
        past_covariates: Any = None,
        observation_error: Any = None,
    ) -> xr.DataArray:
        """Forecast the predictive mean.

        Two forms: ``predict(horizon)`` forecasts from the end of the training series (and every `update`),
        ``predict(X, horizon)`` from the end of `X`.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x), or int or timedelta
            History to forecast from, on the grid and calendar of the training series; or the horizon. Only its last
            steps are read.
        horizon : int or timedelta, default=1
            Number of steps, or a duration of a whole number of equal steps.
        mode : {"multi_step", "one_step"}, default="multi_step"
            With T the last step of the history: ``"multi_step"`` forecasts T+1 to T+horizon from the history alone;
            ``"one_step"`` forecasts T-horizon+2 to T+1, each from the observations before it (data assimilation).
        covariates : as in `fit`
            Those of the last `context` steps and of the horizon, where the model was fitted with them. What `fit` and
            `update` have seen of them is kept, so that from the end of the training series those of the horizon are
            enough.
        past_covariates : as in `fit`
            Those of the last `context` steps; by default what is kept.
        observation_error : float, ndarray or DataArray, optional
            Standard deviation of the error of each observation of the history, in its units: a number, a field, or a
            series with its times; infinite, NaN or masked where one is not to count. The forecast then starts from
            what the observations and the linear model of the forecaster say together, and gaps of the history are
            filled by it. By default observations are taken to be as good as those of the training series; gaps are
            filled so as well, unless that has had gaps itself (a hundredth of its cells ever observed).

        Returns
        -------
        DataArray, shape ([sample,] time=horizon, [channel,] y, x)
            Physical units, with the coordinates, name and attributes of the series; time goes on in its calendar.

        Raises
        ------
        TypeError
            If `horizon` is not an integer of at least 1.
        ValueError
            If `mode` is unknown, the history is too short or of another grid, `horizon` is a duration of no whole
            number of steps, covariates end before the horizon does, are missing or were not fitted, the forecast would
            take more than 8 GiB, or `observation_error` is negative, of another grid or other times, or given to a
            forecaster without a linear model.
        NotFittedError
            Before `fit`.

        Warns
        -----
        UserWarning
            If `X` names other units than the training series: nothing is converted.
        """
        values, times, history = self._forecast_labelled(
            X, horizon, mode, None, (covariates, past_covariates), observation_error
        )
        return wrap(values[0], times, history)

    def predict_samples(
        self,
        X: Any = None,
        horizon: int = 1,
        mode: Mode = "multi_step",
        n_samples: int = 100,
        *,
        covariates: Any = None,
        past_covariates: Any = None,
        observation_error: Any = None,
        given: Any = None,
    ) -> xr.DataArray:
        """Draw an ensemble from the predictive distribution.

        Parameters
        ----------
        X, horizon, mode, covariates, past_covariates, observation_error
            As in `predict`.
        n_samples : int, default=100
            Number of members.
        given : DataArray, AreaMean, or a list of these, optional
            What is taken to be known of the future, in multi-step mode: values of single cells, times and channels (NaN
            where nothing is known), or means of regions, `gridcast.AreaMean`. Members are moved to agree with it, by
            the covariances in space and time of the linear model of the forecaster; exact where that is the truth.

        Returns
        -------
        DataArray, shape (member=n_samples, [sample,] time=horizon, [channel,] y, x)
            Physical units. Each member is a possible future: coherent over the steps of a multi-step forecast.

        Raises
        ------
        TypeError, ValueError
            As `predict`; also if `given` is of another kind, grid or times, or no member meets it.
        """
        n_samples = check_positive_integer("n_samples", n_samples)
        values, times, history = self._forecast_labelled(
            X, horizon, mode, n_samples, (covariates, past_covariates), observation_error
        )
        if given is not None:
            self._needs_dynamics("given")
            values = self._given(values, times, history, given, mode)
        return wrap(values, times, history, {"member": np.arange(n_samples)})

    def predict_quantiles(
        self,
        X: Any = None,
        horizon: int = 1,
        mode: Mode = "multi_step",
        q: float | Sequence[float] = (0.05, 0.5, 0.95),
        n_samples: int = 100,
        *,
        covariates: Any = None,
        past_covariates: Any = None,
        observation_error: Any = None,
        given: Any = None,
    ) -> xr.DataArray:
        """Forecast quantiles of the predictive distribution, computed from samples in physical units.

        The levels that are read from the ensemble are those at which forecasts of the held-out part, or of the series
        given to `calibrate`, had the quantiles that are asked for (Kuleshov, Fenner and Ermon, ICML 2018), by lead and
        channel. Of M members the k-th stands for the level k / (M + 1), so that few of them are no reason for narrow
        intervals; beyond the outermost Student's tail goes on, unless there is a natural bound.

        Parameters
        ----------
        X, horizon, mode, covariates, past_covariates, observation_error
            As in `predict`.
        q : float or sequence of float, default=(0.05, 0.5, 0.95)
            Probabilities between 0 and 1, without both.
        n_samples : int, default=100
            Number of members that the quantiles are computed from.
        given
            As in `predict_samples`.

        Returns
        -------
        DataArray, shape (quantile=len(q), [sample,] time=horizon, [channel,] y, x)
            Physical units; they rise with the level.

        Raises
        ------
        ValueError
            If `q` holds what is no probability between 0 and 1.
        """
        levels = check_levels(q)
        samples = self.predict_samples(
            X,
            horizon,
            mode,
            n_samples,
            covariates=covariates,
            past_covariates=past_covariates,
            observation_error=observation_error,
            given=given,
        )
        return quantiles(samples, levels, self.recalibration_, self._sides(), mode)
