"""The latent sequence as one random variable: the prior chain and the structured posterior, as Pyro distributions.

Both are distributions over a whole latent sequence, batch shape ``(batch,)`` and event shape ``(time, *latent)``. So a
Pyro model of a window has one latent site, its prior is scored for all steps in one batched call of the transition, and
only the posterior's sampling loops over time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Size, Tensor
from torch.distributions import Normal, constraints, kl_divergence, register_kl

Step = Callable[[Tensor], tuple[Tensor, Tensor]]
Shape = Size | list[int] | tuple[int, ...]
PosteriorStep = Callable[[Tensor, Sequence[Tensor], Tensor | None], tuple[Tensor, Tensor]]


class _Chain(TorchDistribution):
    """A first-order Gaussian chain z_1:T from a learned z_0."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, start: Tensor, n_times: int) -> None:
        self.start = start
        super().__init__(Size(start.shape[:1]), Size((n_times, *start.shape[1:])), validate_args=False)

    def steps(self, z: Tensor) -> Normal:
        """Return the distribution of each z_t given z_{t-1} of the sequence `z`, (batch, time, *latent)."""
        raise NotImplementedError

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z_1:T), (batch,)."""
        return self.steps(z).log_prob(z).flatten(1).sum(1)

    def expand(self, batch_shape: Shape, _instance: object = None) -> _Chain:
        """Return self: a plate of windows asks for the batch shape that a chain already has."""
        if tuple(batch_shape) != tuple(self.batch_shape):
            raise ValueError(f"batch_shape={tuple(batch_shape)}: the chain has {tuple(self.batch_shape)}")
        return self

    def _previous(self, z: Tensor) -> Tensor:
        return torch.cat([self.start.unsqueeze(1), z[:, :-1]], dim=1)


class PriorChain(_Chain):
    """Generative prior ``p(z_1:T) = prod_t N(z_t; transition(z_{t-1}))``, equation (16).

    Parameters
    ----------
    transition : callable
        Maps (n, *latent) to loc and scale of the next latent.
    start : Tensor, (batch, *latent)
        z_0.
    n_times : int
    """

    def __init__(self, transition: Step, start: Tensor, n_times: int) -> None:
        self.transition = transition
        super().__init__(start, n_times)

    def steps(self, z: Tensor) -> Normal:
        """Return p(z_t | z_{t-1}) for all t, in one call of the transition."""
        loc, scale = self.transition(self._previous(z).flatten(0, 1))
        batch_time = z.shape[:2]
        return Normal(loc.unflatten(0, batch_time), scale.unflatten(0, batch_time), validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw a sequence by running the transition."""
        z = self.start.expand(*sample_shape, *self.start.shape).flatten(0, len(sample_shape))
        path: list[Tensor] = []
        for _ in range(self.event_shape[0]):
            loc, scale = self.transition(z)
            z = loc + scale * torch.randn_like(loc)
            path.append(z)
        return torch.stack(path, dim=1).unflatten(0, (*sample_shape, -1))


class PosteriorChain(_Chain):
    """Structured posterior ``q(z_1:T | x) = prod_t N(z_t; combiner(z_{t-1}, h_t))``, equations (3), (6) and (11).

    Parameters
    ----------
    combiner : callable
        Maps z_{t-1} (n, *latent), the hidden states of a step and its skip (or None) to loc and scale.
    hidden : sequence of Tensor, each (batch, time, *hidden)
        Hidden states of the recurrences.
    skip : Tensor, (batch, time, *skip), or None
        What goes past the recurrence.
    start : Tensor, (batch, *latent)
        z_0.
    """

    def __init__(self, combiner: PosteriorStep, hidden: Sequence[Tensor], skip: Tensor | None, start: Tensor) -> None:
        self.combiner = combiner
        self.hidden = hidden
        self.skip = skip
        self._drawn: tuple[Tensor, Normal] | None = None
        super().__init__(start, hidden[0].shape[1])

    def steps(self, z: Tensor) -> Normal:
        """Return q(z_t | z_{t-1}, x) for all t; those of the last drawn sequence are remembered."""
        if self._drawn is not None and self._drawn[0] is z:
            return self._drawn[1]
        skip = None if self.skip is None else self.skip.flatten(0, 1)
        loc, scale = self.combiner(self._previous(z).flatten(0, 1), [h.flatten(0, 1) for h in self.hidden], skip)
        batch_time = z.shape[:2]
        return Normal(loc.unflatten(0, batch_time), scale.unflatten(0, batch_time), validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw a sequence by running the combiner; only ``sample_shape=()`` is defined."""
        if sample_shape:
            raise ValueError(f"sample_shape={tuple(sample_shape)}: a posterior is drawn once for each batch entry")
        return self._run(noise=1.0)

    @property
    def mean_path(self) -> Tensor:
        """The sequence of means, each step continued from the mean before it, (batch, time, *latent)."""
        return self._run(noise=0.0)

    def _run(self, noise: float) -> Tensor:
        z, path, locs, scales = self.start, [], [], []
        for t in range(self.event_shape[0]):
            skip = None if self.skip is None else self.skip[:, t]
            loc, scale = self.combiner(z, [h[:, t] for h in self.hidden], skip)
            z = loc + noise * scale * torch.randn_like(loc) if noise else loc
            path.append(z)
            locs.append(loc)
            scales.append(scale)
        drawn = torch.stack(path, dim=1)
        self._drawn = drawn, Normal(torch.stack(locs, dim=1), torch.stack(scales, dim=1), validate_args=False)
        return drawn


@register_kl(PosteriorChain, PriorChain)
def _kl_of_chains(q: PosteriorChain, p: PriorChain) -> Tensor:
    """Return sum_t KL(q(z_t | z_{t-1}, x) || p(z_t | z_{t-1})) along the sequence last drawn from q, (batch,).

    Its expectation over that sequence is the KL divergence of the chains (Krishnan et al. 2017, equation 6); each
    step's part is analytic, so its gradient varies less than that of ``log q - log p``.
    """
    if q._drawn is None:
        raise ValueError("the posterior chain was not drawn from: sample it before its divergence is computed")
    z, steps = q._drawn
    return kl_divergence(steps, p.steps(z)).flatten(1).sum(1)
