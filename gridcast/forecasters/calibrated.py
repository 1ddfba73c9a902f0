"""Intervals that hold: which levels of an ensemble forecasts that came due ask for."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np

from gridcast.data.checks import check_positive_integer
from gridcast.data.grid import Series
from gridcast.data.recalibration import Recalibration, normal_scores
from gridcast.data.windows import independent, near, thinned
from gridcast.forecasters.labelled import LabelledForecaster

HORIZON = 20  # of a forecaster without a parameter for it
MOST_ORIGINS = 40  # further ones mostly overlap those
MOST_CELLS = 600  # of a channel, from which the ranks of a forecast are told


class CalibratedForecaster(LabelledForecaster):
    """Learns from forecasts of known steps which levels of its ensembles stand for the probabilities asked for."""

    recalibration_: Recalibration

    @abstractmethod
    def _closed_sides(self) -> np.ndarray | None:
        """Return which channels have a natural bound below and above, of bool, (2, channel); None for none of them."""

    def _sides(self) -> np.ndarray:
        """Return which channels have a natural bound below and above, of bool, (2, channel)."""
        closed = self._closed_sides()
        return np.zeros((2, self.grid_.shape[0]), dtype=bool) if closed is None else closed

    def calibrate(
        self,
        X: Any,
        horizon: int | None = None,
        n_samples: int = 50,
        *,
        covariates: Any = None,
        past_covariates: Any = None,
    ) -> Self:
        """Learn from observations which quantiles hold; the forecast itself stays as it is, and so does its origin.

        Ensembles are drawn from up to 40 origins inside `X`, evenly spaced. The rank of what came in each of them says
        for each lead and channel which level of the ensemble to read for a probability (Kuleshov, Fenner and Ermon,
        ICML 2018); where `X` holds few forecasts that do not overlap, the levels stay near those of the ensemble. It
        replaces what `fit` learned from its held-out part, is saved with the forecaster, and forgotten by a new `fit`.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            Observations that the model was not trained on, at best those after the training series: their first
            forecast then starts at its end, else behind the first `context` steps of `X`.
        horizon : int, optional
            Leads that are learned about; later ones take what the last asks for. By default the parameter `horizon` of
            the forecaster, 20 where it has none, or as many as `X` allows.
        n_samples : int, default=50
            Members of each ensemble.
        covariates, past_covariates : as in `fit`
            Those of `X`, where the model was fitted with them; then all forecasts have their whole horizon inside `X`.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `horizon` or `n_samples` is no integer of at least 1.
        ValueError
            If `X` is of another grid, too short for one forecast of `horizon` steps, lacks its covariates, or holds no
            observation that could be compared with a forecast.
        NotFittedError
            Before `fit`.

        Warns
        -----
        UserWarning
            If the model was trained on steps of `X`: its errors there are too small.
        """
        n_samples = check_positive_integer("n_samples", n_samples)
        wanted = None if horizon is None else check_positive_integer("horizon", horizon)
        series = self._check_history(X)
        self._check_unseen(series)
        history, first = self._with_context(series)
        most = len(history) - first
        if wanted is not None and most < wanted:
            raise ValueError(
                f"X allows {most} forecast steps, horizon={wanted} needs {wanted}: give a longer series or a shorter "
                "horizon"
            )
        n_leads = wanted or min(most, getattr(self, "horizon", HORIZON))
        # what is known ahead is known of `X`
        origins = np.arange(first - 1, len(history) - (1 if self.drivers_ is None else n_leads))
        stretch = first - self._n_context(), int(origins[-1])
        history = self._drive(history, (covariates, past_covariates), stretch, n_leads)
        origins = thinned(origins, MOST_ORIGINS)
        scores = self._scores(history, origins, n_leads, n_samples)
        if not np.isfinite(scores).any():
            raise ValueError(
                f"X has no observation in its {most} forecast steps (all NaN): give a series that has some"
            )
        samples = len(history.values)
        pairs = np.stack([np.repeat(np.arange(samples), len(origins)), np.tile(origins, samples)], axis=1)
        # set last: an error leaves what was known
        self.recalibration_ = Recalibration.learn(scores, independent(pairs, len(history), n_leads))
        return self

    def _scores(self, history: Series, origins: np.ndarray, horizon: int, n_samples: int) -> np.ndarray:
        """Return the normal scores of what came after `origins`, (sample * origin, horizon, channel, cell)."""
        n_channels, n_cells = history.grid.shape[0], int(np.prod(history.grid.shape[1:]))
        cells = thinned(np.arange(n_cells), MOST_CELLS)
        closed, found = self._sides(), []
        for block in self._blocks(origins, history, horizon * n_samples):
            members = self._forecast(history, block, horizon, n_samples)
            members = members.reshape(*members.shape[:5], n_cells)[..., cells]
            truth, first = np.full(members.shape[1:], np.nan, dtype=np.float32), 0  # NaN beyond the end
            for some in near(block, horizon):
                known = history.load(int(some[0]) + 1, min(int(some[-1]) + 1 + horizon, len(history)))
                known = known.reshape(*known.shape[:2], n_channels, n_cells)[..., cells]
                for i, begin in enumerate(some - some[0], first):
                    after = known[:, begin : begin + horizon]
                    truth[:, i, : after.shape[1]] = after
                first += len(some)
            scores = np.full(truth.shape, np.nan)
            for channel in range(n_channels):
                of = members[:, :, :, :, channel].reshape(n_samples, -1)
                part = scores[:, :, :, channel]
                part[:] = normal_scores(of, truth[:, :, :, channel].ravel(), closed[:, channel]).reshape(part.shape)
            found.append(scores.reshape(-1, *scores.shape[2:]))
        return np.concatenate(found)
