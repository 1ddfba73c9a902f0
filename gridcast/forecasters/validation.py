"""The error of held-out forecasts, by which the epochs of a training are told apart."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from torch import nn

from gridcast.data.warn import warn
from gridcast.forecasters.markov import DOWNSAMPLING
from gridcast.forecasters.running import BATCH_BYTES, Inputs, forecast_scaled
from gridcast.modules.layers import ERROR_FLOOR
from gridcast.training.data import TrainingData
from gridcast.training.regions import regions, validation

LEADS = 8  # steps that a held-out forecast looks ahead
# Each epoch waits for the held-out forecasts: fewest, most cells of all together, and windows of an epoch for each
LEAST, CELLS, WINDOWS = 8, 2**16, 30


def validation_error(data: TrainingData, fraction: float) -> Callable[[nn.Module], float] | None:
    """Return a function of a module: the mean squared error of held-out forecasts, scaled.

    It is the geometric mean over leads: late leads, with the largest errors, do not decide alone. None where
    nothing is held out, or nothing was observed there.

    Parameters
    ----------
    data : TrainingData
    fraction : float
        `validation_fraction`, which a warning names.
    """
    if not len(data.held_out):
        return None
    few = data.with_few(max(LEAST, min(CELLS // data.scaled.values[0, 0].size, len(data.windows) // WINDOWS)))
    found, places = regions(few, DOWNSAMPLING)
    x, mask, clock, truth = validation(found, LEADS)
    if np.isnan(truth).all():
        warn(
            f"validation_fraction={fraction!r} holds out a part of X without any observation: the training loss "
            "chooses the weights instead; cut that part off, or hold out more",
        )
        return None
    # 64 channels of activations, as in a forecast; a region is a batch of its own
    n_batch = 1 if places else max(1, BATCH_BYTES // (4 * 64 * x[0].size))

    def error(module: nn.Module) -> float:
        total = []
        for i in range(0, len(x), n_batch):
            part = slice(i, i + n_batch)
            inputs = Inputs(x[part], mask[part], None if clock is None else clock[part], None)
            with places.at(i, module) if places else contextlib.nullcontext():
                total += [mean for (mean,) in forecast_scaled(module, inputs, LEADS)]
        squared = np.square(np.concatenate(total) - truth, dtype=np.float64)
        seen = np.isfinite(truth)
        n = seen.sum((0, 2, 3, 4))
        by_lead = np.where(seen, squared, 0.0).sum((0, 2, 3, 4))[n > 0] / n[n > 0]
        return float(np.exp(np.log(by_lead + ERROR_FLOOR).mean()))

    return error
