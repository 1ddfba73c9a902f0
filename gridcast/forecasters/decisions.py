"""What the neural forecasters leave to held-out forecasts: weights, spread, and whether to train on."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace

import torch

from gridcast.data.recalibration import Recalibration
from gridcast.data.windows import independent
from gridcast.forecasters.inverse_model import N_PATTERNS, inverse_model
from gridcast.forecasters.markov import DOWNSAMPLING
from gridcast.modules.calibration import MOST_ENSEMBLES, N_MEMBERS, HeldOut, calibrate, observed, weigh
from gridcast.modules.censored import Bounds
from gridcast.modules.combination import Combination, CombinedModule
from gridcast.modules.spread import changes
from gridcast.training.data import TrainingData
from gridcast.training.engine import seeded
from gridcast.training.regions import bounds as bounds_of
from gridcast.training.regions import regions, validation
from gridcast.training.spec import ModuleSpec

HELD_BYTES, LEAST_FORECASTS = 2**29, 4  # of held-out forecasts of a large grid; fewer would tell too little
N_PROBED = 16  # held-out forecasts that tell whether a training pays
# Of the error of held-out forecasts, for which a training goes on: noise around a season gains 0.0006 at most by then,
# heat that spreads 0.003, and 0.06 in the end
LEAST_GAIN = 0.002


def combination(spec: ModuleSpec, n_lags: int, horizon: int, *, patches: bool) -> Combination:
    """Return a linear inverse model, not fitted yet, beside which networks are weighed.

    Parameters
    ----------
    spec : ModuleSpec
    n_lags, horizon : int
    patches : bool
        Whether the networks learn from patches.
    """
    # a patch does not show how large its patterns are
    model = inverse_model(spec, n_lags, horizon, n_patterns=0 if patches else N_PATTERNS)
    return Combination(model, spec.shape[0])


def decide(module: CombinedModule, data: TrainingData, bounded: bool, *, networks: bool) -> Recalibration:
    """Set, after a training, the weights and the spread of each lead; return what the ranks of what came ask for.

    Without `networks`, which have gained nothing, a forecast is that of what stands beside them, and costs no more.
    """
    if module.combination is None or not len(data.held_out):
        return Recalibration.identity(data.scaled.grid.shape[0])
    with seeded(0):  # processes that train together have drawn apart, and are to end alike
        held_out = _held_out(module.combination, data, bounded)
        with module.with_noise_apart():
            scores = calibrate(module, held_out, networks=networks)
    return Recalibration.learn(scores.cpu().numpy(), held_out.cases.cpu().numpy())


def learns_held_out(module: CombinedModule, data: TrainingData) -> bool:
    """Say whether `learn_held_out` will do anything: a long series has enough without what is held out."""
    return module.combination is not None and len(data.held_out) > 0 and data.whole().is_small


def learn_held_out(module: CombinedModule, data: TrainingData) -> None:
    """Fit the linear model beside the networks to the held-out part as well, once nothing is decided by it any more."""
    if module.combination is not None and learns_held_out(module, data):
        model = module.combination.linear
        again = copy.deepcopy(model).cpu()  # where regressions are made
        again.refit_mean(data.whole().runs(model.linear.n_lags + 1))
        model.load_state_dict(again.state_dict())


@torch.no_grad()
def seconds_to_decide(module: CombinedModule, data: TrainingData) -> float:
    """Return about how long `decide` will take, from one of its forecasts."""
    if module.combination is None or not len(data.held_out):
        return 0.0
    first = _held_out(module.combination, data.with_few(1), False)
    seconds = []
    with first.at(0, module):
        first.alone(module, 0, 0)  # what is loaded and compiled once does not count
        for n_samples in (0, N_MEMBERS):
            began = time.perf_counter()
            first.alone(module, 0, n_samples)
            seconds.append(time.perf_counter() - began)
    return len(data.held_out) * seconds[0] + MOST_ENSEMBLES * seconds[1]


def gains_nothing(module: CombinedModule, data: TrainingData) -> bool:
    """Say, after a short part of a training, whether the networks add nothing to the forecasts beside them."""
    if module.combination is None or not len(data.held_out):
        return False
    weigh(module, _held_out(module.combination, data.with_few(N_PROBED), False))
    gain = module.combination.blend.gain()
    # the training goes on as it was: what is held out decides between networks, not between sums
    module.combination.reset()
    return gain < LEAST_GAIN  # False where nothing that was held out was observed


def _held_out(made: Combination, data: TrainingData, bounded: bool) -> HeldOut:
    """Return the held-out forecasts, where the module is."""
    device, horizon = made.blend.weights.device, len(made.blend.weights)
    data, usual = data.unseen(), None
    found, places = regions(data, DOWNSAMPLING)
    if places is None:
        # fields of three sources, of the truth and of two bounds
        data = data.with_few(max(LEAST_FORECASTS, HELD_BYTES // (24 * horizon * math.prod(data.scaled.grid.shape))))
        found, _ = regions(data, DOWNSAMPLING)
    else:
        whole = replace(data.with_few(LEAST_FORECASTS), regional=False).validation(0)[:2]
        usual = changes(*map(torch.from_numpy, whole)).nanmean(0)
    x, mask, clock, later = validation(found, horizon)
    truth = torch.as_tensor(later, device=device)
    cases = torch.as_tensor(
        independent(data.held_out, len(data.scaled.times), horizon), dtype=torch.float32, device=device
    )
    limits = bounds_of(found, horizon) if bounded else None
    bounds = None if limits is None else Bounds(*(torch.as_tensor(b, device=device) for b in limits))
    return HeldOut(
        torch.as_tensor(x, device=device),
        torch.as_tensor(mask, device=device),
        None if clock is None else torch.as_tensor(clock, device=device),
        truth,
        bounds,
        torch.minimum(cases, observed(truth)),  # those of which nothing was observed do not count
        places,
        usual,
    )
