"""Densities of observations in the forecasts of the steps before them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import norm

from gridcast.data.grid import Series
from gridcast.modules.forecasting import Contexts
from gridcast.transformers.scaling import ROUNDED

AT_ONCE = 2**22  # values of the contexts of a batch


def densities(forecaster: Any, history: Series, origins: np.ndarray) -> np.ndarray:
    """Return the log density of the step after each of consecutive origins, (sample, origin, channel, y, x).

    Parameters
    ----------
    forecaster : SmoothingForecaster
        Fitted.
    history : Series
    origins : ndarray of int
    """
    scaling, context = forecaster.scaling_, forecaster.context
    n_series, shape = history.values.shape[0], history.grid.shape
    step = max(1, AT_ONCE // (n_series * context * int(np.prod(shape))))
    found = []
    for first in range(0, len(origins), step):
        batch = origins[first : first + step]
        ((x, mask),) = scaling.contexts(history, [batch], context)
        clock = forecaster._clocks(history, batch)
        device = next(iter(forecaster.module_.state_dict().values())).device
        contexts = Contexts(
            torch.as_tensor(x, device=device),
            torch.as_tensor(mask, device=device),
            None if clock is None else torch.as_tensor(clock, device=device),
        )
        mean, std = (
            part.cpu().double().numpy().reshape(n_series, len(batch), *shape)
            for part in forecaster.module_.predictive(contexts)
        )
        truth = history.load(int(batch[0]) + 1, int(batch[-1]) + 2)
        times = history.times[int(batch[0]) + 1 : int(batch[-1]) + 2]
        found.append(_log_density(scaling, truth, times, history, mean, std, forecaster.bounded))
    return np.concatenate(found, axis=1)


def _log_density(
    scaling: Any, truth: np.ndarray, times: Any, history: Series, mean: np.ndarray, std: np.ndarray, bounded: bool
) -> np.ndarray:
    anomalies, mask = scaling.anomalies(truth, times, history)
    density = norm.logpdf(anomalies, mean, std) + np.log(np.abs(scaling.slope(truth, times, history)))
    limits = scaling.bounds([times], history.drivers) if bounded else None
    if limits is not None:
        low, high = (limit[:, 0][None] for limit in limits)  # (1, time, channel, y, x)
        # finite where a channel has none: compared alone
        at_low, at_high = (np.abs(anomalies - np.where(np.isfinite(b), b, np.inf)) < ROUNDED * 5 for b in (low, high))
        density = np.where(at_low, norm.logcdf((low - mean) / std), density)
        density = np.where(at_high, norm.logsf((high - mean) / std), density)
    return np.where((mask > 0) & scaling.statistics.observed, density, np.nan)
