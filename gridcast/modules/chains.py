"""The latent sequence as one random variable: the prior chain and the posterior, as Pyro distributions.

Both are distributions over a whole latent sequence, batch shape ``(batch,)`` and event shape ``(time, *latent)``. So a
Pyro model of a window has one latent site, its prior is scored for all steps in one batched call of the transition, and
only the posterior loops over time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Protocol

import torch
from pyro.distributions import TorchDistribution
from torch import Size, Tensor
from torch.distributions import Normal, constraints, kl_divergence, register_kl

Step = Callable[[Tensor], tuple[Tensor, Tensor]]  # state -> loc, scale
Shape = Size | list[int] | tuple[int, ...]
# state, hidden, skip, forecast -> loc, scale
PosteriorStep = Callable[[Tensor, Tensor, Tensor | None, tuple[Tensor, Tensor] | None], tuple[Tensor, Tensor]]


class Memory(Protocol):
    """What of the past the next step depends on: a state."""

    def push(self, state: Tensor, z: Tensor) -> Tensor:
        """Return the state (n, *state) after `z` (n, *latent) has followed it."""
        ...

    def states(self, start: Tensor, z: Tensor) -> Tensor:
        """Return `start` and the states after each step of `z`, (batch, 1 + time, *state)."""
        ...

    def noise(self, like: Tensor) -> Tensor:
        """Return the noise of a forecast, of unit variance, with the shape of `like` (n, *latent)."""
        ...


class FirstOrder:
    """The memory of a first-order Markov chain: the state is the latent itself."""

    def push(self, state: Tensor, z: Tensor) -> Tensor:
        """Return `z`."""
        del state
        return z

    def states(self, start: Tensor, z: Tensor) -> Tensor:
        """Return `start` and `z`, (batch, 1 + time, *latent)."""
        return torch.cat([start.unsqueeze(1), z], dim=1)

    def noise(self, like: Tensor) -> Tensor:
        """Return white noise."""
        return torch.randn_like(like)


class _Chain(TorchDistribution):
    """A Gaussian chain z_1:T from an initial state."""

    # none: the parameters are networks and fields, which torch's checks know nothing of
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, start: Tensor, event_shape: Size, memory: Memory) -> None:
        self.start, self.memory = start, memory
        # the checks of torch would look at every entry of the sequence, in every training step
        super().__init__(Size(start.shape[:1]), event_shape, validate_args=False)

    @abstractmethod
    def steps(self, z: Tensor) -> Normal:
        """Return the distribution of each z_t given what comes before it in `z`, (batch, time, *latent)."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z_1:T), (batch,)."""
        return self.steps(z).log_prob(z).flatten(1).sum(1)  # (batch, time, *latent) -> (batch,)

    def expand(self, batch_shape: Shape, _instance: object = None) -> _Chain:
        """Return self: a plate of windows asks for the batch shape that a chain already has."""
        # a larger batch would need the start and the hidden states repeated: see `PosteriorChain.repeat`
        if tuple(batch_shape) != tuple(self.batch_shape):
            raise ValueError(f"batch_shape={tuple(batch_shape)}: the chain has {tuple(self.batch_shape)}")
        return self


class PriorChain(_Chain):
    """Generative prior ``p(z_1:T) = prod_t N(z_t; transition(state_{t-1}))``, equation (16).

    Parameters
    ----------
    transition : callable
        Maps states (n, *state) to loc and scale (n, *latent) of the next latent.
    start : Tensor, (batch, *state)
        The state before z_1.
    n_times : int
    memory : Memory
    first : (Tensor, Tensor), each (batch, *latent), optional
        loc and scale of z_1, which then does not come from the transition.
    latent : tuple of int, optional
        Shape of one z_t; by default that of `first`, else of `start`.
    n_steps : int, optional
        Steps of the transition from which, drawn at random, the divergence from a posterior is estimated; all of them
        by default.
    """

    def __init__(
        self,
        transition: Step,
        start: Tensor,
        n_times: int,
        memory: Memory | None = None,
        first: tuple[Tensor, Tensor] | None = None,
        latent: Sequence[int] | None = None,
        n_steps: int | None = None,
    ) -> None:
        self.transition, self.first, self.n_steps = transition, first, n_steps
        # a state may hold more than the latest latent, so its shape is only the last resort
        shape = first[0].shape[1:] if first is not None else latent or start.shape[1:]
        super().__init__(start, Size((n_times, *shape)), memory or FirstOrder())

    def steps(self, z: Tensor) -> Normal:
        """Return p(z_t | z_{<t}) for all t, in one call of the transition."""
        moved = self.moves(z, torch.arange(self.n_first, self.event_shape[0], device=z.device))
        if self.first is None:
            return moved
        first = (f.unsqueeze(1) for f in self.first)
        loc, scale = (torch.cat(p, dim=1) for p in zip(first, (moved.loc, moved.scale), strict=True))
        return Normal(loc, scale, validate_args=False)

    @property
    def n_first(self) -> int:
        """Steps at the beginning that do not come from the transition."""
        return 0 if self.first is None else 1

    def moves(self, z: Tensor, times: Tensor) -> Normal:
        """Return p(z_t | z_{<t}) at some steps `times` that come from the transition, (batch, len(times), *latent)."""
        states = self.memory.states(self.start, z)[:, times]  # the state at t is that before z_t
        loc, scale = (p.unflatten(0, states.shape[:2]) for p in self.transition(states.flatten(0, 1)))
        return Normal(loc, scale, validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw a sequence by running the transition."""

        def repeat(z: Tensor) -> Tensor:
            return z.expand(*sample_shape, *z.shape).flatten(0, len(sample_shape))

        state, path = repeat(self.start), []
        for t in range(self.event_shape[0]):
            loc, scale = self.transition(state) if t or self.first is None else (repeat(f) for f in self.first)
            path.append(loc + scale * torch.randn_like(loc))
            state = self.memory.push(state, path[-1])
        return torch.stack(path, dim=1).unflatten(0, (*sample_shape, -1))  # (*sample_shape, batch, time, *latent)


class Means(NamedTuple):
    """The posterior along its own means.

    Parameters
    ----------
    steps : Normal, (batch, time, *latent)
    states : Tensor, (batch, time, *state)
        After each step.
    """

    steps: Normal
    states: Tensor


class PosteriorChain(_Chain):
    """Posterior ``q(z_1:T | x) = prod_t N(z_t; combiner(state_{t-1}, h_t))``, equations (3), (6) and (11).

    Parameters
    ----------
    combiner : callable
        Maps a state (n, *state), the hidden states of a step, its skip and the forecast of the latent (each of these
        may be None) to loc and scale.
    hidden : Tensor, (batch, time, *hidden)
        Hidden states of the recurrence.
    skip : Tensor, (batch, time, *skip), or None
        What goes past the recurrence.
    start : Tensor, (batch, *state)
        The state before z_1.
    latent : tuple of int
        Shape of one z_t.
    memory : Memory
    filtering : bool
        The states follow the means, so that z_t depends on x_{1:t} alone, as the estimate of a filter does; else they
        follow the draws.
    forecast : Step, optional
        Forecasts the next latent from a state, which the combiner then corrects.
    """

    def __init__(
        self,
        combiner: PosteriorStep,
        hidden: Tensor,
        skip: Tensor | None,
        start: Tensor,
        latent: Sequence[int] | None = None,
        memory: Memory | None = None,
        *,
        filtering: bool = False,
        forecast: Step | None = None,
    ) -> None:
        self.combiner, self.hidden, self.skip = combiner, hidden, skip
        self.filtering, self.forecast = filtering, forecast
        # what is computed while drawing is needed again for the log density, the KL divergence and the forecast term
        self._drawn: tuple[Tensor, Normal] | None = None
        self._means: Means | None = None
        shape = Size((hidden.shape[1], *(start.shape[1:] if latent is None else latent)))
        super().__init__(start, shape, memory or FirstOrder())

    def steps(self, z: Tensor) -> Normal:
        """Return q(z_t | z_{<t}, x) for all t; those of the last drawn sequence are remembered."""
        if self.filtering:
            return self.means.steps
        # the same tensor, not an equal one: a comparison of values would cost a pass over them
        if self._drawn is not None and self._drawn[0] is z:
            return self._drawn[1]
        skip = None if self.skip is None else self.skip.flatten(0, 1)  # (batch * time, *skip)
        states = self.memory.states(self.start, z)[:, :-1].flatten(0, 1)  # (batch * time, *state)
        ahead = None if self.forecast is None else self.forecast(states)
        loc, scale = self.combiner(states, self.hidden.flatten(0, 1), skip, ahead)
        batch_time = z.shape[:2]
        return Normal(loc.unflatten(0, batch_time), scale.unflatten(0, batch_time), validate_args=False)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw a sequence; only ``sample_shape=()`` is defined."""
        if sample_shape:
            raise ValueError(f"sample_shape={tuple(sample_shape)}: a posterior is drawn once for each batch entry")
        if self.filtering:
            # the steps do not depend on the draws, so that all of them are drawn at once
            steps = self.means.steps
            z = steps.rsample()
        else:
            # each step depends on the draw before it: a loop is needed
            steps, z = self._run(noise=1.0)[:2]
        self._drawn = z, steps
        return z

    def repeat(self, n: int) -> PosteriorChain:
        """Return the posterior with each batch entry `n` times."""
        return PosteriorChain(
            self.combiner,
            self.hidden.repeat_interleave(n, 0),
            None if self.skip is None else self.skip.repeat_interleave(n, 0),
            self.start.repeat_interleave(n, 0),
            self.event_shape[1:],
            self.memory,
            filtering=self.filtering,
            forecast=self.forecast,
        )

    @property
    def means(self) -> Means:
        """The steps along the sequence of means, and the states after each."""
        if self._means is None:
            steps, _, states = self._run(noise=0.0)
            self._means = Means(steps, states)
        return self._means

    def _run(self, noise: float) -> tuple[Normal, Tensor, Tensor]:
        state, path, states, locs, scales = self.start, [], [], [], []
        for t in range(self.event_shape[0]):
            skip = None if self.skip is None else self.skip[:, t]
            ahead = None if self.forecast is None else self.forecast(state)
            loc, scale = self.combiner(state, self.hidden[:, t], skip, ahead)
            # without noise no random number is used up: forecasts of the mean do not move the seed
            path.append(loc + noise * scale * torch.randn_like(loc) if noise else loc)
            state = self.memory.push(state, path[-1])
            states.append(state)
            locs.append(loc)
            scales.append(scale)
        # each (batch, time, ...)
        z, visited, loc, scale = (torch.stack(p, dim=1) for p in (path, states, locs, scales))
        return Normal(loc, scale, validate_args=False), z, visited


# so that `kl_divergence`, which Pyro's objectives call too, finds it
@register_kl(PosteriorChain, PriorChain)
def _kl_of_chains(q: PosteriorChain, p: PriorChain) -> Tensor:
    """Return sum_t KL(q(z_t | z_{<t}, x) || p(z_t | z_{<t})) along the sequence last drawn from q, (batch,).

    Its expectation over that sequence is the KL divergence of the chains (Krishnan et al. 2017, equation 6); each
    step's part is analytic, so its gradient varies less than that of ``log q - log p``.
    """
    if q._drawn is None:
        raise ValueError("the posterior chain was not drawn from: sample it before its divergence is computed")
    z, steps = q._drawn
    n_moves = p.event_shape[0] - p.n_first
    if p.n_steps is None or p.n_steps >= n_moves:
        return kl_divergence(steps, p.steps(z)).flatten(1).sum(1)
    # an estimate without bias from a few steps: a deep transition is what a training step costs
    times = p.n_first + torch.randperm(n_moves, device=z.device)[: p.n_steps]
    chosen = Normal(steps.loc[:, times], steps.scale[:, times], validate_args=False)
    total = kl_divergence(chosen, p.moves(z, times)).flatten(1).sum(1) * (n_moves / p.n_steps)
    if p.first is not None:
        first = Normal(steps.loc[:, 0], steps.scale[:, 0], validate_args=False)
        total = total + kl_divergence(first, Normal(*p.first, validate_args=False)).flatten(1).sum(1)
    return total
