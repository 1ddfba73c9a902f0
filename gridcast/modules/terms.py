"""Terms of the loss of a Markov module, besides the evidence lower bound."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from gridcast.modules.chains import Memory
from gridcast.modules.layers import ERROR_FLOOR, log_rms
from gridcast.modules.objective import Objective
from gridcast.modules.residual import LatentLayout


def teaching_terms(
    layout: LatentLayout, loc: Tensor, scale: Tensor, truth: Tensor, seen: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of steps of the transition, and its parts.

    Parameters
    ----------
    layout : LatentLayout
    loc, scale : Tensor, (batch, steps, n_latent, y, x)
        Of the latents that were forecast; the scale is that of one step.
    truth, seen : Tensor, (batch, steps, channel, y, x)
        The padded fields that followed, and 1 where they were observed.

    Returns
    -------
    loss : Tensor, scalar
        The squared error of the fields, in units of the linear forecast's one step ahead, of several steps the mean
        logarithm of it, and the negative log-likelihood of the coefficients of the first as a function of the scale
        alone.
    terms : dict of scalar Tensor
        ``mse`` and ``taught``.
    """
    linear = layout.linear
    loc, first = loc[:, :, : linear.n_folded], scale[:, 0, : linear.n_folded]
    # a block counts as far as it was observed
    share = F.avg_pool2d(seen[:, 0], linear.downsampling).repeat_interleave(linear.downsampling**2, dim=1)
    # detached: the likelihood would weigh quiet fields and small coefficients as much as all others
    likelihood = Normal(loc[:, 0].detach(), first, validate_args=False).log_prob(linear.fold(truth[:, 0]))
    taught = -(likelihood * share).sum() / share.sum().clamp(min=1)
    error = (linear.unfold(loc.flatten(0, 1)).unflatten(0, loc.shape[:2]) - truth) / linear.cell_step
    mse = (error.square() * seen).sum((0, 2, 3, 4)) / seen.sum((0, 2, 3, 4)).clamp(min=1)  # (steps,)
    # of several steps the logarithms: else the last, with the largest errors, would decide alone
    fields = mse.mean() if len(mse) == 1 else torch.log(mse + ERROR_FLOOR).mean()
    return fields + taught, {"mse": mse.mean().detach(), "taught": taught.detach()}


def forecast_term(
    states: Tensor,
    x: Tensor,
    mask: Tensor,
    ahead: Callable[[Tensor], Tensor],
    memory: Memory,
    emit: Callable[[Tensor], Tensor],
    objective: Objective,
) -> Tensor:
    """Return the logarithm of the RMS error, mean over steps for one step ahead plus mean over leads for more.

    Parameters
    ----------
    states : Tensor, (batch, time, *state)
        After each step of the posterior's means.
    x, mask : Tensor, (batch, time, channel, y, x)
        Padded fields, and 1 where they were observed.
    ahead : callable
        Maps states to the mean of the next latent.
    memory : Memory
    emit : callable
        Maps latents (batch, time, ...) to fields.
    objective : Objective
        How many leads from a random step, at most as many as the window allows, and one-step forecasts.
    """
    n_times = x.shape[1]
    # short windows have fewer; the first step has no forecast
    n_steps = min(objective.forecast_steps, n_times - 1)
    # from one random step: from all of them the cost would grow with the square of the window
    first = int(torch.randint(n_times - n_steps, ()))
    # the steps that a one-step forecast is made of, the one where the longer forecast begins among them
    others = torch.randperm(n_times - 1, device=x.device)
    n_one = n_times - 1 if objective.n_steps is None else min(objective.n_steps, n_times - 1)
    times = torch.cat([torch.full_like(others[:1], first), others[others != first][: n_one - 1]])
    one_step = ahead(states[:, times].flatten(0, 1)).unflatten(0, (x.shape[0], n_one))  # (batch, n_one, *latent)
    path, state = [one_step[:, 0]], states[:, first]
    for _ in range(n_steps - 1):
        state = memory.push(state, path[-1])
        path.append(ahead(state))
    # the steps that the longer forecast is verified at, beyond the first
    later = slice(first + 2, first + 1 + n_steps)
    loc = emit(torch.cat([one_step, *(step.unsqueeze(1) for step in path[1:])], dim=1))
    target, seen = (torch.cat([of[:, times + 1], of[:, later]], dim=1) for of in (x, mask))
    errors = log_rms(loc - target, seen).mean((0, 2))  # (n_one + n_steps - 1,)
    # two means: else the many one-step errors would outweigh the few longer ones
    one, more = errors[:n_one].mean(), errors[n_one:]
    return one + more.mean() if n_steps > 1 else one
