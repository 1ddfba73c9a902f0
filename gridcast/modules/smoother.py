"""Fields given what was observed of them, before and after: the smoother along a linear inverse model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gridcast.modules.innovations import Innovations, Problem
from gridcast.modules.inverse_model import LinearInverseModel

EXACT = 1e-4  # of the variance of a forecast error: an observation of less is taken as it is
N_FREQUENCIES = 16
N_DRAWN, LEAST_TIMES = 2, 4  # draws, enough for the variance of many cells together that are hidden so often
QUIET = 0.01  # of the mean variance, which counts as the variance of no cell alone
PRIOR_TIMES = 4.0  # hidden steps of each cell in which the spread was right, beside those that are
MOST_WIDENED = 4.0  # times the variance


class Observed(NamedTuple):
    """Runs of fields as they were observed.

    Parameters
    ----------
    values : Tensor, (batch, time, channel, y, x)
        Finite everywhere; where nothing was observed, what the search starts from.
    mask : Tensor, same shape
        1 where something was observed.
    variance : Tensor, same shape
        Of the errors of the observations, beyond those of the training series.
    """

    values: Tensor
    mask: Tensor
    variance: Tensor


class Smoother:
    """Mean and draws of runs of fields given observations of any of their cells.

    Along a linear model with Gaussian noise this is the fixed-interval smoother (Rauch, Tung and Striebel 1965), found
    as the most likely run (weak-constraint four-dimensional variational assimilation, Trémolet 2006). Draws are the
    solutions for drawn innovations and errors (Bardsley et al. 2014): exact in the linear case, coherent in space and
    time.

    Parameters
    ----------
    model : LinearInverseModel
    """

    def __init__(self, model: LinearInverseModel) -> None:
        self.innovations = Innovations(model)
        self.exact = EXACT * model.std[0].square().mean((1, 2))[:, None, None]  # (channel, 1, 1)
        self.widening = model.widening

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.exact.device

    @property
    def n_lags(self) -> int:
        """Steps before a run that say how it begins."""
        return self.innovations.n_lags

    @torch.no_grad()
    def mean(self, observed: Observed, fixed: int = 0) -> Tensor:
        """Return the mean of runs (batch, time, channel, y, x) of which the first `fixed` steps are known."""
        problem = self._problem(observed, fixed)
        return problem.solve(observed.values, observed.values)

    @torch.no_grad()
    def draw(self, observed: Observed, mean: Tensor, n: int, fixed: int = 0) -> Tensor:
        """Return `n` draws of each run around its mean, (n, batch, time, channel, y, x).

        The first `fixed` steps of `mean` may be those of `n` runs, (n, 1, time, channel, y, x), which the draws go on.
        """
        problem = self._problem(observed, fixed)
        error = observed.variance.sqrt() * observed.mask
        if len(observed.values) > 1:
            pairs = [self._drawn(problem, observed.values, m, error) for m in mean.expand(n, *mean.shape[-5:])]
            return torch.stack(pairs)
        start = mean.reshape(-1, *mean.shape[-4:]).expand(n, *mean.shape[-4:])
        return self._drawn(problem, observed.values.expand(start.shape), start, error)[:, None]

    def _drawn(self, problem: Problem, values: Tensor, start: Tensor, error: Tensor) -> Tensor:
        # what is drawn is wider, not the deviation itself: a run that goes on from another has that of its beginning
        target = values + self.widening * error * torch.randn_like(start)
        innovations = self.innovations(start)
        wider = self.widening.repeat_interleave(innovations.shape[2] // len(self.widening), 0)
        return problem.solve(start, target, wider * torch.randn_like(innovations))

    @torch.no_grad()
    def width(self, runs: Sequence[tuple[Observed, Tensor]]) -> Tensor:
        """Return how much wider draws should be, (channel, 1, 1), by observations that are hidden and estimated.

        The innovations of neighbours are not independent, as the model takes them to be: they tell less of a gap than
        it believes. Where few are hidden it is drawn towards 1, and it is never less.

        Parameters
        ----------
        runs : sequence of (Observed, Tensor of bool)
            With a batch of 1, whose first `n_lags` steps are taken to be known; what of the observations is hidden.
        """
        squared, variance, count = torch.zeros(3, *runs[0][1].shape[2:], device=self.device)
        for observed, hidden in runs:
            rest = observed._replace(values=torch.where(hidden, 0.0, observed.values), mask=observed.mask * ~hidden)
            mean = self.mean(rest, self.n_lags)
            drawn = self.draw(rest, mean[None], N_DRAWN, self.n_lags)
            squared += ((mean - observed.values).square() * hidden)[0].sum(0)
            variance += ((drawn - mean).square().mean(0) * hidden)[0].sum(0)
            count += hidden[0].sum(0)
        # of each cell, so that the quiet ones count too, but for those that all but never change
        ratio = squared / (variance + QUIET * variance.mean((1, 2), keepdim=True)).clamp(min=1e-30)
        # the mean of one over a variance of few draws is too large
        ratio = ratio * (1 - 2 / (N_DRAWN * count).clamp(min=2))
        count = torch.where(count >= LEAST_TIMES, count, 0.0)
        total, n_cells = (t.sum((1, 2), keepdim=True) for t in (ratio * count, count > 0))
        # as many as cells were hidden times, of which each says as much as the next: cells err alike
        times = count.sum((1, 2), keepdim=True) / n_cells.clamp(min=1)
        level = (total / n_cells.clamp(min=1) + PRIOR_TIMES) / (times + PRIOR_TIMES)
        # the model has seen what is hidden: that its errors are small says little
        return level.clamp(1.0, MOST_WIDENED).sqrt()

    def _problem(self, observed: Observed, fixed: int) -> Problem:
        exact = (observed.mask > 0) & (observed.variance <= self.exact)
        exact[:, :fixed] = True
        noisy = (observed.mask > 0) & ~exact
        precision = torch.where(noisy, 1 / observed.variance.clamp(min=1e-30), 0.0)
        return Problem(self.innovations, ~exact, precision)

    @torch.no_grad()
    def condition(self, wanted: Tensor, known: Tensor) -> Tensor:
        """Return what is added to runs from known steps on so that `known` cells change by `wanted`.

        Parameters
        ----------
        wanted : Tensor, (n, time, channel, y, x)
            Of steps that follow steps which stay as they are.
        known : Tensor of bool, (1, time, channel, y, x)
        """
        start = self._behind(torch.where(known, wanted, 0.0))
        return self._open(~known).solve(start, start, relative=True)[:, self.n_lags :]

    @torch.no_grad()
    def response(self, weights: Tensor, free: Tensor) -> Tensor:
        """Return the covariance of each cell with weighted sums of cells, (n, time, channel, y, x), given the past.

        Parameters
        ----------
        weights : Tensor, (n, time, channel, y, x)
        free : Tensor of bool, (1, time, channel, y, x)
            Cells of which nothing else is known.
        """
        return self._open(free).invert(self._behind(weights), relative=True)[:, self.n_lags :]

    def _behind(self, x: Tensor) -> Tensor:
        """Return runs behind as many steps of zeros as the model looks back."""
        return F.pad(x, (0, 0, 0, 0, 0, 0, self.n_lags, 0))

    def _open(self, free: Tensor) -> Problem:
        """Return the problem of runs behind steps that are known, of which nothing else is."""
        free = self._behind(free)
        return Problem(self.innovations, free, torch.zeros_like(free, dtype=self.exact.dtype))

    @torch.no_grad()
    def noise_floor(self) -> Tensor:
        """Return the variance of noise that is white in space and time, at most, of the training series, (channel,).

        What the quietest quarter of the coefficients of a block has at high frequencies, by their own weights.
        """
        linear = self.innovations.linear
        phases = torch.linspace(0.75 * torch.pi, torch.pi, N_FREQUENCIES, device=self.device)[:, None]
        lags = torch.arange(1, self.n_lags + 1, device=self.device)
        gain = 1 - torch.exp(-1j * phases * lags) @ linear.of_fields().to(torch.complex64)
        power = (linear.scale * self.innovations.std).square().mean((1, 2)) / gain.abs().square()
        quiet = power.mean(0).unflatten(0, (len(linear.cell_std), -1)).sort(1).values
        return quiet[:, : quiet.shape[1] // 4].mean(1)

    @torch.no_grad()
    def denoise(self, x: Tensor, variance: Tensor, seen: Tensor, *, noisy: bool) -> Tensor:
        """Return runs without the noise that the training series has, (n, time, channel, y, x).

        Of a Gaussian series with white noise the mean without it follows from the gradient of the log density
        (Tweedie's formula, Robbins 1956).

        Parameters
        ----------
        x : Tensor, (n, time, channel, y, x)
        variance : Tensor, broadcast with `x`
        seen : Tensor, broadcast with `x`
            1 where an observation stands; what was filled in has no such noise.
        noisy : bool
            Draws instead of means.
        """
        error = variance * self.innovations.pull(x)
        if noisy:
            precision = self.innovations.local_precision().diagonal(dim1=-2, dim2=-1).mean((1, 2, 3))
            left = variance * (1 - variance * precision[:, None, None]).clamp(min=0.0)
            error = error + left.sqrt() * torch.randn_like(x)
        return x - seen * error
