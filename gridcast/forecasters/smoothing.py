"""What a state-space model says of the past: fields given what was observed before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from tqdm.auto import tqdm

from gridcast.data.checks import check_positive_integer
from gridcast.data.grid import Series, wrap
from gridcast.data.observation_errors import NoisySeries, of_sample, with_errors
from gridcast.data.random import draw_seed
from gridcast.data.windows import near
from gridcast.forecasters.base import BaseForecaster
from gridcast.forecasters.driven import Driving
from gridcast.forecasters.fitted import check_fitted
from gridcast.forecasters.horizon import check_size
from gridcast.forecasters.likelihood import densities
from gridcast.forecasters.running import shared_out
from gridcast.forecasters.scenarios import conditioned
from gridcast.forecasters.stretches import Stretch, stretches
from gridcast.modules.layers import by_lead
from gridcast.modules.smoother import Observed, Smoother
from gridcast.training.engine import seeded
from gridcast.training.threads import threads
from gridcast.transformers.scaling import Scaling

READ_VALUES = 2**22  # of the steps that are looked through at a time
DRAWN_VALUES = 2**20  # of the runs that are drawn at a time: a search holds some sixty times as much
FEW = 8  # stretches, or members of one, that need no progress bar


class SmoothingForecaster(BaseForecaster):
    """Estimates the fields of the past along the linear model of a forecaster."""

    scaling_: Scaling

    def reconstruct(
        self,
        X: xr.DataArray | np.ndarray | None = None,
        n_samples: int | None = None,
        keep_observed: bool = True,
        *,
        covariates: Any = None,
        past_covariates: Any = None,
        observation_error: Any = None,
    ) -> xr.DataArray:
        """Estimate the fields of a series from all that was observed, before and after: gaps are filled.

        This is the smoother of the forecaster's linear model (`linear_`, or the model of a `LinearForecaster`) with
        Gaussian noise: the mean is the most likely run of fields, members are drawn around it (weak-constraint
        four-dimensional variational assimilation, Trémolet 2006; Bardsley et al. 2014), coherent in space and time, and
        at least as wide as `fit` has found the errors of squares and whole fields to be that it hid in the training
        part (of 60 fields or more, of at most 65,000 values). Of a long series stretches around the gaps are estimated
        one after the other, each from where the one before ended and with the steps behind it in view.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x), optional
            A series on the grid and calendar of the training series, with gaps (NaN), numpy- or dask-backed; by default
            the training series itself.
        n_samples : int, optional
            Members; by default the mean.
        keep_observed : bool, default=True
            What was observed stays as it is, but for what has an error without limit. If False, it is estimated too,
            without the errors of observations and the noise of the training series that is white in space and time.
        covariates, past_covariates : as in `fit`
            Those of `X`, where the model was fitted with them; the training series has its own.
        observation_error : float, ndarray or DataArray, optional
            Standard deviation of the error of each observation, as in `predict`.

        Returns
        -------
        DataArray, shape ([member=n_samples,] [sample,] time, [channel,] y, x)
            Physical units, the times of `X`. Cells that were never observed in training are not estimated.

        Raises
        ------
        NotFittedError
            Before `fit`.
        AttributeError
            With ``architecture="paper"``, which has no linear model.
        TypeError
            If `n_samples` is no integer.
        ValueError
            If `n_samples` is below 1, `X` is of another grid or calendar, lacks its covariates or has some that the
            model was fitted without, `X` is not given and the training series not at hand (of an opened or copied
            forecaster), `observation_error` is negative, or the result would take more than 8 GiB.

        Examples
        --------
        >>> import gridcast as gc
        >>> heat = gc.datasets.make_heat(2, n_windows=2, window=12, shape=(16, 16), random_state=0)
        >>> model = gc.LinearForecaster(lags=2, context=6, random_state=0).fit(heat)
        >>> filled = model.reconstruct(heat.where(heat.time != heat.time[5]))
        >>> bool(filled.notnull().all())
        True
        """
        check_fitted(self)
        smoother = Smoother(self._dynamics())
        n = None if n_samples is None else check_positive_integer("n_samples", n_samples)
        driving = covariates, past_covariates
        self._check_fitted_with(driving)
        series = self._training_series() if X is None else self._beside(self._check_history(X), driving)
        series = with_errors(series, observation_error)
        check_size(4 * (n or 1) * int(np.prod(series.values.shape)), len(series), n)
        out = np.empty((n or 1, *series.values.shape), dtype=np.float32)
        with (
            threads(int(np.prod(series.grid.shape[1:])) * 16),
            seeded(draw_seed(self.random_state)) if n else nullcontext(),
        ):
            for sample in range(series.values.shape[0]):
                self._reconstruct(smoother, of_sample(series, sample), n, keep_observed, out[:, sample : sample + 1])
        if n is None:
            return wrap(out[0], series.times, series)
        return wrap(out, series.times, series, {"member": np.arange(n)})

    def _reconstruct(
        self, smoother: Smoother, series: Series, n: int | None, keep_observed: bool, out: np.ndarray
    ) -> None:
        """Write the estimates of a series of one sample to `out`, (member, 1, time, channel, y, x)."""
        noisy, ever = isinstance(series, NoisySeries), self.scaling_.statistics.observed
        unknown, blank = (np.zeros(len(series), dtype=bool) for _ in range(2))
        step = max(1, READ_VALUES // int(np.prod(series.grid.shape)))
        for first in range(0, len(series), step):
            block = self._counting(series, first, first + step)
            out[:, 0, first : first + step] = block if keep_observed else np.where(ever, block, np.float32(np.nan))
            missing = np.isnan(block)[:, ever]
            unknown[first : first + step] = missing.any(1) | noisy | (not keep_observed)
            blank[first : first + step] = missing.all(1)
        planned = stretches(unknown, blank, smoother.n_lags)
        carried: tuple[int, torch.Tensor] | None = None
        quiet = len(planned) * (n or 1) < FEW or not getattr(self, "verbose", True)
        for stretch in tqdm(planned, disable=quiet or None, unit="stretch"):
            observed, raw = self._observed(smoother, series, stretch)
            found, carried = self._estimate(smoother, observed, stretch, n, carried)
            if not keep_observed:
                floor = smoother.noise_floor()[:, None, None]
                found = smoother.denoise(found, floor, observed.mask, noisy=bool(n))
            kept = slice(stretch.first - stretch.start, stretch.last - stretch.start)
            # (member, sample, origin, time, ...); a copy, which is restored in place
            values = found[:, kept].cpu().numpy().copy()[:, None, None]
            times = series.times[stretch.first : stretch.last]
            leads = [times[i : i + 1] for i in range(len(times))]
            restored = self.scaling_.restore(values, series, leads, getattr(self, "bounded", False))[:, :, 0]
            if keep_observed:
                restored = np.where(np.isnan(raw[kept]), restored, raw[kept])
            out[:, :, stretch.first : stretch.last] = restored

    def _counting(self, series: Series, first: int, stop: int) -> np.ndarray:
        """Return the observations of steps that count, (time, channel, y, x): an error without limit is none."""
        raw = series.load(first, stop)[0]
        if isinstance(series, NoisySeries):
            raw = np.where(np.isfinite(series.load_errors(first, stop)[0]), raw, np.float32(np.nan))
        return raw

    def _observed(self, smoother: Smoother, series: Series, stretch: Stretch) -> tuple[Observed, np.ndarray]:
        """Return the scaled anomalies of a stretch with a batch of 1, and its values in physical units."""
        raw = self._counting(series, stretch.start, stretch.stop)
        times = series.times[stretch.start : stretch.stop]
        values, mask = self.scaling_.anomalies(raw[None], times, series)
        # land is known: it has no anomaly
        mask = np.where(self.scaling_.statistics.observed, mask, np.float32(1))
        variance = np.zeros_like(values)
        if isinstance(series, NoisySeries):
            errors = series.load_errors(stretch.start, stretch.stop)
            variance = self._variance(smoother, raw[None], errors, times, series)
        return self._as_observed(values, mask, variance), raw

    def _as_observed(self, values: np.ndarray, mask: np.ndarray, variance: np.ndarray) -> Observed:
        device = self._dynamics().std.device
        # an error without limit is no observation
        counts = np.where(np.isfinite(variance), mask, np.float32(0))
        return Observed(
            *(torch.as_tensor(a, device=device) for a in (values, counts, np.nan_to_num(variance, posinf=0.0)))
        )

    def _variance(
        self, smoother: Smoother, values: np.ndarray, errors: np.ndarray, times: Any, series: Series
    ) -> np.ndarray:
        """Return the variance of scaled observations beyond the noise that the training series has already.

        That is white in space and time, which some of the noise of a process may be too, and no larger than the errors
        of the best observations.
        """
        scaled = self.scaling_.scaled_errors(values, errors, times, series)
        best = np.square(np.where(np.isnan(values), np.float32(np.inf), scaled).min((0, 1, 3, 4)))
        floor = np.minimum(smoother.noise_floor().cpu().numpy(), best)[:, None, None]
        return np.maximum(np.square(scaled) - floor, 0.0).astype(np.float32)

    def _estimate(
        self,
        smoother: Smoother,
        observed: Observed,
        stretch: Stretch,
        n: int | None,
        carried: tuple[int, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, tuple[int, torch.Tensor]]:
        """Return the estimates of a stretch, (member, time, channel, y, x), and with which step they end.

        `carried` is what was returned for the stretch before; where it reaches, this one goes on from it.
        """
        fixed, found = stretch.first - stretch.start, []
        together = max(1, DRAWN_VALUES // observed.values.numel())
        for first in range(0, n or 1, together):
            values = observed.values
            if carried is not None and carried[0] > stretch.start:
                stop, before = carried
                n_known = stop - stretch.start
                values = values.expand(min(together, (n or 1) - first), *values.shape[1:]).clone()
                values[:, :n_known] = before[first : first + len(values), -n_known:]
            run = observed._replace(values=values[:1])
            mean = smoother.mean(run, fixed)
            if n is None:
                found.append(mean)
                continue
            # members keep their own beginning
            start = mean.expand(min(together, n - first), *mean.shape[1:]).clone()
            start[:, :fixed] = values[:, :fixed]
            found.append(smoother.draw(run, start[:, None], len(start), fixed)[:, 0])
        runs = torch.cat(found)
        kept = runs[:, max(0, stretch.last - stretch.start - smoother.n_lags) : stretch.last - stretch.start]
        return runs, (stretch.last, kept)

    def _analysed(
        self, history: Series, origins: np.ndarray, n_steps: int, sizes: list[int]
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Yield contexts without gaps and errors of observations, (members * sample * origin, n_steps, channel, y, x).

        For 0 in `sizes` the mean, for other numbers so many draws; with each the number of runs.
        """
        smoother = Smoother(self._dynamics())
        # more steps than a context tell how far an observation can be trusted; covariates are at hand for one alone
        more = isinstance(history, NoisySeries) and self.scaling_.response is None
        n = min(2 * n_steps, int(origins[0]) + 1) if more else n_steps
        parts = [self._before(smoother, history, some, n) for some in near(origins, n)]
        values, mask, variance, low, high = (
            np.concatenate(arrays, axis=1).reshape(-1, n, *history.grid.shape) for arrays in zip(*parts, strict=True)
        )
        observed = self._as_observed(values, mask, variance)
        # nothing is to be estimated of the steps before, which say how it begins
        open_steps = ((observed.mask == 0) | (observed.variance > smoother.exact)).any(0).flatten(1).any(1).nonzero()
        begin = max(0, min(int(open_steps[0]) if len(open_steps) else n, n - 1) - smoother.n_lags)
        before, rest = observed.values[:, :begin], Observed(*(part[:, begin:] for part in observed))
        mean, together = smoother.mean(rest), max(1, DRAWN_VALUES // rest.values.numel())
        for size in sizes:
            found = [smoother.draw(rest, mean, k) for k in shared_out(size, together) if k] or [mean[None]]
            runs = torch.cat([before.expand(max(size, 1), *before.shape), torch.cat(found)], dim=2).cpu().numpy()
            clipped = np.clip(runs, low, high)[:, :, -n_steps:]
            yield clipped.reshape(-1, *clipped.shape[2:]), max(size, 1)

    def _before(self, smoother: Smoother, history: Series, origins: np.ndarray, n: int) -> list[np.ndarray]:
        """Return anomalies of `n` steps up to each origin, masks, variances, bounds, each (sample, origin, n, ...)."""
        first, stop = int(origins[0]) - n + 1, int(origins[-1]) + 1
        raw, times = history.load(first, stop), history.times[first:stop]
        values, mask = self.scaling_.anomalies(raw, times, history)
        mask, variance = np.where(self.scaling_.statistics.observed, mask, np.float32(1)), np.zeros_like(values)
        if isinstance(history, NoisySeries):
            variance = self._variance(smoother, raw, history.load_errors(first, stop), times, history)
        limits = self.scaling_.bounds([times], history.drivers) if getattr(self, "bounded", False) else None
        unlimited = np.full_like(values[:1], -np.inf), np.full_like(values[:1], np.inf)
        low, high = unlimited if limits is None else (limit.swapaxes(0, 1) for limit in limits)
        arrays = (values, mask, variance, *(np.broadcast_to(limit, values.shape) for limit in (low, high)))
        return [np.stack([a[:, o - first - n + 1 : o - first + 1] for o in origins], axis=1) for a in arrays]

    def _given(self, values: np.ndarray, times: pd.Index, history: Series, given: Any, mode: str) -> np.ndarray:
        if mode != "multi_step":
            raise ValueError(f'given: mode={mode!r} forecasts what is observed already; use mode="multi_step"')
        smoother = Smoother(self._dynamics())
        # one by one: a transformer that knows labels takes a series
        of = np.stack([self.scaling_.anomalies(member, times, history)[0] for member in values])
        std = by_lead(self._dynamics().std, len(times)) if self.bounded else None
        moved = conditioned(smoother, self.scaling_, of, given, times, history, std=std)
        leads = [times[i : i + 1] for i in range(len(times))]
        return self.scaling_.restore(moved[:, :, None], history, leads, self.bounded)[:, :, 0]

    def log_likelihood(
        self, X: xr.DataArray | np.ndarray, *, covariates: Any = None, past_covariates: Any = None
    ) -> xr.DataArray:
        """Return the log density of each observation in the forecast from those before it.

        The density is that of the one-step predictive distribution in physical units: normal in the scaled series,
        with the spread of the members; where values are at a natural bound of the series, the logarithm of the
        probability to be there. What is missing before a step counts as the last value before it. The sum over the
        cells of a step is a series in which anomalies stand out: a sensor that drifts, two fields that are swapped.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            Observations on the grid and calendar of the training series.
        covariates, past_covariates : as in `fit`
            Those of `X`, where the model was fitted with them. What the latter say of the next step is left out.

        Returns
        -------
        DataArray, shape ([sample,] time, [channel,] y, x)
            Nats, the logarithm of a density per unit of the series; NaN where nothing was observed, and at the first
            `context` steps unless `X` follows the training series.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `X` is too short for one forecast, of another grid or calendar, or lacks its covariates.

        Warns
        -----
        UserWarning
            If the model was trained on steps of `X`.
        """
        series = self._check_history(X)
        self._check_unseen(series)
        history, first = self._with_context(series)
        stretch = first - self._n_context(), len(history) - 2
        history = self._drive(history, (covariates, past_covariates), stretch, 1)
        origins = np.arange(first - 1, len(history) - 1)
        out = np.full((series.values.shape[0], len(history) - first, *series.grid.shape), np.nan)
        with seeded(0):
            for block in self._blocks(origins, history, self.context):
                out[:, block - first + 1] = densities(self, history, block)
        n_missing = len(series) - out.shape[1]
        full = np.concatenate([np.full_like(out, np.nan, shape=(len(out), n_missing, *out.shape[2:])), out], axis=1)
        found = wrap(full, series.times, series).rename("log_likelihood")
        found.attrs = {"long_name": "log density of the one-step forecast", "units": "1"}  # no longer the quantity
        return found

    def _beside(self, series: Series, driving: Driving) -> Series:
        """Return a series with its covariates, where the fit has found that they count."""
        if self.scaling_.response is None:
            return series
        begin = None if series.has_times else series.times[0]
        return self._drive(series, driving, (0, len(series) - 1), 0, begin)

    def _training_series(self) -> Series:
        series = vars(self).get("_series")
        if series is None:
            raise ValueError(
                "X=None: the training series is not kept with a forecaster that was opened or copied: give it, "
                "reconstruct(X)"
            )
        return series
