"""What held-out steps decide of a Markov module: the weights of its forecasts, and the spread of its members."""

from __future__ import annotations

import torch
from torch import Tensor

from gridcast.modules.blend import Blend
from gridcast.modules.markov import MarkovModule


@torch.no_grad()
def weigh(module: MarkovModule, x: Tensor, mask: Tensor, clock: Tensor | None, truth: Tensor) -> Tensor:
    """Weigh the forecasts of each lead by held-out steps.

    Parameters
    ----------
    module : MarkovModule
        With a blend, whose weights are set.
    x, mask, clock
        Contexts, as in `MarkovModule.forecast`.
    truth : Tensor, (batch, horizon, channel, y, x)
        What followed, NaN where it is not known.

    Returns
    -------
    Tensor, (n_sources, batch, horizon, channel, y, x)
        The forecasts that were weighed.
    """
    blend = _blend(module)
    blend.reset()
    # one by one: a forecast of each takes the memory of a batch
    made = [
        module.sources(module.forecast(*one, truth.shape[1], clock=at)[0][0], *one, truth.shape[1])
        for one, at in _each(x, mask, clock)
    ]
    forecasts = torch.cat(made, dim=1)
    blend.fit(forecasts, truth)
    return forecasts


@torch.no_grad()
def calibrate(
    module: MarkovModule, x: Tensor, mask: Tensor, clock: Tensor | None, truth: Tensor, n_samples: int
) -> None:
    """Weigh the forecasts, as `weigh`, and set the spread of members to the error of the weighted mean.

    Parameters
    ----------
    module, x, mask, clock, truth
        As in `weigh`.
    n_samples : int
        Members from which the spread is told.
    """
    blend, forecasts = _blend(module), weigh(module, x, mask, clock, truth)
    weights = blend.weights.clone()
    blend.reset()  # members of the networks alone
    variances = []
    for (one, at), mean in zip(_each(x, mask, clock), forecasts[0], strict=True):
        loc, scale = module.forecast(*one, truth.shape[1], n_samples, at)
        variances.append((loc[:, 0] - mean).square().mean(0) + scale[:, 0].square().mean(0))
    blend.weights.copy_(weights)
    blend.fit_spread(blend.mean(forecasts), torch.stack(variances), truth)


def _blend(module: MarkovModule) -> Blend:
    if module.blend is None:
        raise ValueError("blend=None: the module has nothing to weigh")
    return module.blend


def _each(x: Tensor, mask: Tensor, clock: Tensor | None) -> list[tuple[tuple[Tensor, Tensor], Tensor | None]]:
    return [((x[i : i + 1], mask[i : i + 1]), None if clock is None else clock[i : i + 1]) for i in range(len(x))]
