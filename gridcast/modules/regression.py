"""Fits the linear model of gridded fields: ridge regressions whose penalties cross-validation chooses."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gridcast.modules.layers import pad_sides
from gridcast.modules.linear import LinearForecast

# Relative to the mean variance of a regressor; the largest leaves the autoregression of each coefficient alone.
PENALTIES = (1e-3, 1e-2, 1e-1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
OWN_PENALTY = 1e-3  # few weights, many values: only against coefficients that never change
N_FOLDS = 4  # contiguous parts of the series, long enough that a part tells nothing of the next
BLOCK_CELLS = 2**22  # values that are folded at a time: 16 MiB
FRAMES = 64  # frames whose neighbourhoods are laid out at a time
LIMIT = 1.5  # times the largest coefficient seen: room for a record, none for an explosion
STEP_FLOOR = 1e-4  # of scaled data: a field that never errs would divide by zero
STEPS_PER_PATTERN = 6  # with fewer, patterns describe the sample and not the series
MOST_ROWS = 2**18  # as many as there are regressors, squared, for a field of one channel
LEAST_ROWS = 2**14  # of one of many groups of channels, which share the others out
RANK_TOLERANCE = 1e-6  # of the largest variance, in single precision
N_FIELDS = 1000  # at most, from which the patterns are computed: more change little of the leading ones


@dataclass
class Moments:
    """Sums of products of regressors and targets, in double precision.

    Parameters
    ----------
    gram : Tensor, (n_regressors, n_regressors)
    cross : Tensor, (n_regressors, n_targets)
    square : float
        Of all targets.
    """

    gram: Tensor
    cross: Tensor
    square: float

    def plus(self, other: Moments, sign: int = 1) -> Moments:
        """Return the sums over both samples, or over this without the other."""
        # moments add up, so folds are left out by subtraction: no second pass over the data
        return Moments(
            self.gram + sign * other.gram, self.cross + sign * other.cross, self.square + sign * other.square
        )

    def ridge(self, penalty: float) -> Tensor:
        """Return the weights (n_regressors, n_targets) with a penalty relative to the mean variance of a regressor."""
        # relative, so that the penalties do not depend on the number of cases; the floor is for a constant series
        penalised = self.gram.clone()
        penalised.diagonal().add_(penalty * self.gram.diagonal().mean().clamp(min=1e-12))
        # the penalty makes the matrix positive definite, so no pivoting is needed
        return torch.cholesky_solve(self.cross, torch.linalg.cholesky(penalised, out=penalised))

    def error(self, weights: Tensor) -> float:
        """Return the sum of squared errors of `weights` on this sample."""
        # the square expanded: needs the moments alone, not the cases
        explained = 2 * (weights * self.cross).sum() - (weights * (self.gram @ weights)).sum()
        return self.square - float(explained)


def moments(regressors: Tensor, targets: Tensor) -> Moments:
    """Return the moments of (n, n_regressors) and (n, n_targets) in single precision, summed in double."""
    seen = regressors.numpy()
    gram = torch.from_numpy(seen.T @ seen)  # numpy knows that it is symmetric: half the work of torch's product
    return Moments(gram.double(), (regressors.T @ targets).double(), float(targets.double().square().sum()))


def cross_validated(folds: list[Moments], first: int = len(PENALTIES) // 2) -> tuple[Tensor, int]:
    """Return the ridge weights (n_regressors, n_targets) with the penalty that is best in cross-validation, and which.

    Parameters
    ----------
    folds : list of Moments
    first : int
        The penalty from which the search begins: that of similar data is soon found again.
    """
    whole = folds[0]
    for fold in folds[1:]:
        whole = whole.plus(fold)
    # nothing is held out: trust the autoregression
    if len(folds) == 1:
        return whole.ridge(PENALTIES[-1]).float(), first

    @functools.cache
    def error(i: int) -> float:
        return sum(f.error(whole.plus(f, -1).ridge(PENALTIES[i])) for f in folds)

    # downhill: too small a penalty fits noise, too large a one nothing, so there is one valley
    best, last = first, -1
    while best != last:
        last, near = best, range(max(best - 1, 0), min(best + 2, len(PENALTIES)))
        best = min(near, key=error)
    return whole.ridge(PENALTIES[best]).float(), best


@torch.no_grad()
def fit_linear_forecast(linear: LinearForecast, runs: Sequence[Tensor], most_rows: int = MOST_ROWS) -> None:
    """Fit a new `LinearForecast` to runs of consecutive fields, in place, all but the size of its errors.

    Parameters
    ----------
    linear : LinearForecast
        As it was constructed.
    runs : sequence of Tensor, each (time, channel, y, x)
        At least `n_lags` + 1 steps each, in the order of time; rows and columns multiples of `downsampling`; with a
        mean near zero.
    most_rows : int
        Blocks from which the neighbours' share is learned: of more, evenly spaced fields.
    """
    sample = _Sample(linear, runs)
    _take_units(linear, sample)
    _fit_weights(linear, sample, most_rows)


@torch.no_grad()
def refit_linear_forecast(linear: LinearForecast, runs: Sequence[Tensor]) -> None:
    """Fit the weights of a fitted `LinearForecast` to other runs, in the units in which networks see it."""
    for patterns in (linear.patterns, linear.duals):
        patterns.zero_()  # there may be fewer
    _fit_weights(linear, _Sample(linear, runs), MOST_ROWS)


def _take_units(linear: LinearForecast, sample: _Sample) -> None:
    linear.cell_std.copy_(_rms(sample.fields()))
    linear.scale.copy_(_rms(linear.fold(fields) for fields in sample.fields()))
    largest = torch.stack([linear.fold(fields).abs().amax((0, 2, 3)) for fields in sample.fields()]).amax(0)
    # at least 1.5 standard deviations, where a short series shows little
    linear.limit.copy_(LIMIT * largest.clamp(min=1.0)[:, None, None])
    # in units of `scale`, which `fold` already knows here
    linear.change.copy_(_rms(linear.fold(fields).diff(dim=0) for fields in sample.fields()))


def _fit_weights(linear: LinearForecast, sample: _Sample, most_rows: int) -> None:
    # in this order: each part is fitted to what those before it leave
    linear.own.copy_(_autoregress(linear, sample.pairs()))
    _regress_on_neighbours(linear, sample, most_rows)
    if linear.n_patterns:  # else the model works on patches, which do not say where they are
        _fit_patterns(linear, sample.runs)
        # last: the correction is learned of the forecast that it corrects
        linear.mixing.copy_(_regress_amplitudes(linear, sample))


@torch.no_grad()
def measure_errors(linear: LinearForecast, runs: Sequence[Tensor]) -> None:
    """Set `step` and `cell_step` of a fitted `LinearForecast` by its errors on the runs that it was fitted to."""
    sample = _Sample(linear, runs)
    errors = [_square(linear(features) - following, linear) for features, following in sample.pairs()]
    of_coefficients, of_cells = (torch.stack(part).sum(0) / len(sample) for part in zip(*errors, strict=True))
    linear.step.copy_(of_coefficients.sqrt().clamp(min=STEP_FLOOR)[:, None, None])
    linear.cell_step.copy_(of_cells.sqrt().clamp(min=STEP_FLOOR)[:, None, None])


class _Sample:
    """Runs of a series as pairs of regressors and what followed, a block of fields at a time."""

    def __init__(self, linear: LinearForecast, runs: Sequence[Tensor]) -> None:
        self.linear, self.runs = linear, runs
        # a block must hold one pair
        self.n_fields = max(linear.n_lags + 1, BLOCK_CELLS // runs[0][0].numel())

    @property
    def n_blocks(self) -> int:
        """Blocks of a field."""
        return self.runs[0][0, 0].numel() // self.linear.downsampling**2

    def __len__(self) -> int:
        return sum(len(run) - self.linear.n_lags for run in self.runs)

    def fields(self) -> Iterator[Tensor]:
        """Yield the fields of the runs, (n, channel, y, x), at least two at a time."""
        for run in self.runs:
            # rounded down: blocks may be larger than asked, so that differences in time exist in each
            n_blocks = max(1, len(run) // self.n_fields)
            yield from run.tensor_split(n_blocks)

    def pairs(self, group: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield features and the coefficients that follow, of a group of channels or all.

        Folded again in every pass: that is cheaper than to keep them.
        """
        n_lags = self.linear.n_lags
        for run in self.runs:
            for first in range(0, len(run) - n_lags, self.n_fields):
                # blocks overlap by the lags: no pair is lost between them
                yield self.linear.pair(run[first : first + self.n_fields + n_lags], group)


def _square(error: Tensor, linear: LinearForecast) -> tuple[Tensor, Tensor]:
    """Return the mean square of errors of coefficients and of cells, each (channel,), summed over frames."""
    return error.square().mean((2, 3)).sum(0), linear.unfold(error).square().mean((2, 3)).sum(0)


def _autoregress(linear: LinearForecast, pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return weights of each coefficient's own past for its change, (n_lags, n_folded, 1, 1)."""
    n, n_lags = linear.n_folded, linear.n_lags
    # double: sums over the whole series
    gram, cross = torch.zeros(n, n_lags, n_lags, dtype=torch.float64), torch.zeros(n, n_lags, 1, dtype=torch.float64)
    for features, following in pairs:
        seen = features.unflatten(1, (n_lags, n)).permute(2, 1, 0, 3, 4).flatten(2)  # (n_folded, n_lags, everywhere)
        left = (following - features[:, :n]).transpose(0, 1).flatten(1)[..., None]
        gram += (seen @ seen.mT).double()  # (n_folded, n_lags, n_lags)
        cross += (seen @ left).double()
    weights = [Moments(g, c, 0.0).ridge(OWN_PENALTY)[:, 0] for g, c in zip(gram, cross, strict=True)]
    return torch.stack(weights, dim=1).float()[..., None, None]


def _regress_on_neighbours(linear: LinearForecast, sample: _Sample, most_rows: int) -> None:
    """Set the kernels for what the autoregression leaves, (n_folded, n_lags * n_folded, kernel, kernel)."""
    # neighbouring steps tell much the same; the regressors are many, and their products the cost of the fit
    n_rows = min(most_rows, max(LEAST_ROWS, most_rows // linear.n_groups))
    every = max(1, len(sample) * sample.n_blocks // n_rows)
    kernels: list[Tensor] = []
    penalty = len(PENALTIES) // 2
    for group in range(linear.n_groups):
        change = linear.of(linear.change, group)
        weights, penalty = cross_validated(_neighbour_moments(linear, sample, every, group, change), penalty)
        # (n_folded, kernel, kernel, channel) -> as a convolution has it
        kernel = weights.T.unflatten(1, (*linear.conv.kernel_size, -1)).permute(0, 3, 1, 2)
        kernels.append(kernel * change[..., None])
    linear.conv.weight.copy_(torch.cat(kernels))


def _neighbour_moments(
    linear: LinearForecast, sample: _Sample, every: int, group: int, change: Tensor
) -> list[Moments]:
    """Return the moments of a group's neighbourhoods, of every so many fields, and what the autoregression leaves."""
    folds = _Folds(len(sample))

    def measure(frames: Tensor, targets: Tensor) -> Moments:
        return moments(_neighbourhoods(_padded(frames[::every], linear), linear), _rows(targets[::every]))

    for features, following in sample.pairs(group):
        # in units of the change: one penalty then suits all coefficients
        left = (following - linear.autoregressed(features, group)) / change
        for frames, targets in zip(features.split(FRAMES), left.split(FRAMES), strict=True):
            folds.add(frames, targets, measure)
    return folds.found


def _padded(features: Tensor, linear: LinearForecast) -> Tensor:
    # as `GridConv2d` pads, so that the fit sees what the forecast will
    half = linear.conv.reach
    rows, columns = (0 if goes else half for goes in linear.periodic)
    return F.pad(pad_sides(features, half, linear.periodic), (columns, columns, rows, rows))


def _neighbourhoods(padded: Tensor, linear: LinearForecast) -> Tensor:
    """Return what the kernel sees at each place, (n * y * x, kernel * kernel * channel)."""
    size = linear.conv.kernel_size[0]
    last = padded.permute(0, 2, 3, 1)  # channels last: whole runs are copied
    rows, columns = (n - size + 1 for n in padded.shape[2:])
    shifts = [last[:, i : i + rows, j : j + columns] for i in range(size) for j in range(size)]
    return torch.cat(shifts, dim=3).flatten(0, 2)


def _rows(targets: Tensor) -> Tensor:
    return targets.permute(0, 2, 3, 1).flatten(0, 2)


class _Folds:
    """Moments of contiguous parts of `n` cases, which come in order."""

    def __init__(self, n: int) -> None:
        self.n, self.first = n, 0
        self.parts: dict[int, Moments] = {}

    def add(
        self, regressors: Tensor, targets: Tensor, measure: Callable[[Tensor, Tensor], Moments] | None = None
    ) -> None:
        """Take in the next cases."""
        fold = torch.arange(self.first, self.first + len(targets)) * N_FOLDS // self.n
        for k in fold.unique().tolist():
            found = (measure or moments)(regressors[fold == k], targets[fold == k])
            self.parts[k] = self.parts[k].plus(found) if k in self.parts else found
        self.first += len(targets)

    @property
    def found(self) -> list[Moments]:
        return list(self.parts.values())


def _fit_patterns(linear: LinearForecast, runs: Sequence[Tensor]) -> None:
    """Take the leading empirical orthogonal functions of the fields as the patterns."""
    n = min(linear.n_patterns, sum(map(len, runs)) // STEPS_PER_PATTERN)
    if not n:  # the series is too short for any: they stay zero
        return
    fields = leading_patterns(runs, n)
    if not len(fields):  # nothing varies: torch's unshuffle returns an empty batch as it is
        return
    folded = linear.fold(fields)
    linear.patterns[: len(folded)] = folded.flatten(1)
    # patterns are orthonormal as fields; in coefficients, divided by `scale`, the product needs its square
    linear.duals[: len(folded)] = (folded * linear.scale.square()).flatten(1)


def leading_patterns(runs: Sequence[Tensor], n: int) -> Tensor:
    """Return at most `n` empirical orthogonal functions of runs (time, channel, y, x), orthonormal, (n, ...)."""
    # fields next to each other in time are alike: evenly spaced ones serve as well
    every = -(-sum(map(len, runs)) // N_FIELDS)  # rounded up: no more than these
    fields = torch.cat([run[::every] for run in runs])
    flat = fields.flatten(1)
    # the smaller of the two products has the same spectrum
    wide = flat.shape[1] > len(flat)
    values, vectors = torch.linalg.eigh(flat @ flat.T if wide else flat.T @ flat)
    known = int((values > RANK_TOLERANCE * values[-1]).sum())  # a pattern without variance has no direction
    leading = vectors.T.flip(0)[: min(n, known)]  # eigh sorts ascending
    # from combinations of fields to the fields themselves
    leading = leading @ flat if wide else leading
    return F.normalize(leading, dim=1).unflatten(1, fields.shape[1:])


def _regress_amplitudes(linear: LinearForecast, sample: _Sample) -> Tensor:
    """Return the correction of the amplitudes, (2 * n_patterns, n_patterns); see `LinearForecast.mixing`."""
    found = []
    for features, following in sample.pairs():
        ahead = linear.neighbouring(features)
        parts = (features[:, : linear.n_folded], ahead, following)
        found.append(torch.stack([part.flatten(1) @ linear.duals.T for part in parts], dim=1))  # (n, 3, n_patterns)
    now, ahead, following = torch.cat(found).unbind(1)
    # Two groups of equal weight; within a group the small patterns, whose amplitudes are mostly noise, are shrunk most.
    scales = [part.square().mean().sqrt().clamp(min=1e-6) for part in (now, ahead - now)]
    folds = _Folds(len(now))
    folds.add(torch.cat([now / scales[0], (ahead - now) / scales[1]], dim=1), following - ahead)
    mixing, _ = cross_validated(folds.found)
    return torch.cat([part / scale for part, scale in zip(mixing.chunk(2), scales, strict=True)])


def _rms(parts: Iterable[Tensor]) -> Tensor:
    """Return the root mean square of each channel of the parts, (n, channel, y, x), (channel, 1, 1)."""
    squares, count = [], 0
    for part in parts:
        squares.append(part.square().sum((0, 2, 3)))
        count += part[:, 0].numel()
    return (torch.stack(squares).sum(0) / count).sqrt().clamp(min=1e-6)[:, None, None]
