"""How wide the draws of a smoother are to be, by observations that are hidden from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.smoother import Observed, Smoother
from gridcast.training.data import TrainingData
from gridcast.training.engine import seeded

N_STRETCHES, N_STEPS = 3, 12  # enough to tell one factor
LEAST_STEPS, LEAST_FIELDS = 8, 60  # of a stretch and of the training part; fewer would tell too little
MOST_VALUES = 2**19  # of a stretch: more take minutes
SIDE, SHARE, EVERY = 10, 0.5, 6  # cells of hidden squares, their share of a field, and every which field is hidden


def width_of_draws(model: LinearInverseModel, data: TrainingData) -> torch.Tensor:
    """Return the factor of the deviations of draws of a fitted model, (channel, 1, 1).

    Stretches of the training part, of which half is hidden, are estimated. 1 where that part is short or fields are
    large.
    """
    samples, first, stop = data.part
    n_steps = min(N_STEPS, MOST_VALUES // math.prod(data.scaled.grid.shape), stop - first - model.linear.n_lags)
    length = model.linear.n_lags + n_steps
    if n_steps < LEAST_STEPS or len(samples) * (stop - first) < LEAST_FIELDS:
        return torch.ones_like(model.widening)
    values, seen = map(torch.from_numpy, data.stretches(length, N_STRETCHES))
    with seeded(0):
        hidden = (seen > 0) & _squares(seen.shape, model.linear.n_lags)
        # land is known: it has no anomaly
        seen[:, :, torch.from_numpy(~data.scaling.statistics.observed)] = 1
        parts = (part.split(1) for part in (values, seen, torch.zeros_like(values), hidden))
        return Smoother(model).width([(Observed(*of), hid) for *of, hid in zip(*parts, strict=True)])


def _squares(shape: Sequence[int], first: int) -> torch.Tensor:
    """Return random squares of fields from step `first` on, and some whole fields, of bool and this shape."""
    n, n_times, channels, rows, columns = shape
    some = torch.rand(n, n_times, channels, -(-rows // SIDE), -(-columns // SIDE)) < SHARE
    some[:, first + 2 :: EVERY] = True
    some[:, :first] = False
    return some.repeat_interleave(SIDE, 3).repeat_interleave(SIDE, 4)[..., :rows, :columns]
