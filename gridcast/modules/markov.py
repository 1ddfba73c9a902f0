"""The Markov module: a deep Markov model of a window of gridded fields, from exchangeable parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import Normal
from torch import Tensor, nn
from torch.distributions import kl_divergence

from gridcast.modules.chains import FirstOrder, Memory, PosteriorChain, PriorChain
from gridcast.modules.clock import Clock, ClockedMemory, spread
from gridcast.modules.combination import Combination, CombinedModule, Draw
from gridcast.modules.frames import Frames
from gridcast.modules.known import Covariates
from gridcast.modules.layers import go_around, positive, softplus_inverse
from gridcast.modules.objective import Objective
from gridcast.modules.residual import LatentLayout
from gridcast.modules.terms import forecast_term, teaching_terms


class MarkovModule(CombinedModule):
    """Deep Markov model of a window; DMM and CNMM differ in the parts alone.

    ======== ================================================ ==============================================
    part     call                                             shapes
    ======== ================================================ ==============================================
    encoder  encoder(x) -> features                           (n, channel, y, x) -> (n, *features)
    skip     skip(x) -> what the combiner sees as well        (n, channel, y, x) -> (n, *skip)
    rnn      rnn(features) -> hidden                          (b, t, *features) -> (b, t, *hidden)
    combiner combiner(state_{t-1}, h_t, skip_t)               -> loc, scale (n, *latent)
    transit. transition(state_{t-1}, location)                -> loc, scale (n, *latent)
    emitter  emitter(z_t, location)                           -> loc, scale (n, channel, y, x)
    locator  locator(static) -> location                      (b, static, y, x) -> (b, location, y', x')
    ======== ================================================ ==============================================

    The state is the latent z_t itself, or, with `layout`, z_t and the fields before it; with `clock` it ends with the
    time features of the next step.

    Parameters
    ----------
    encoder, rnn, combiner, transition, emitter : Module
        The parts above.
    skip, locator : Module or None
    layout : LatentLayout or None
        The latent as coefficients of the field: then the encoder also sees the error of the linear forecast of each
        frame, and the combiner the observed coefficients.
    start : Tensor, (latent,) or (latent, y', x')
        Initial value of the trainable z_0 (with `free_start`, mean of z_1); a field is broadcast over the grid where
        its last sizes are 1.
    free_start : bool
        z_1 has a distribution of its own around `start`, instead of coming from z_0; always with `layout`.
    filtering : bool
        The posterior's states follow its means, see `PosteriorChain`.
    frames : Frames
        Pads, crops, and adds what is known of each place.
    clock : Clock or None
        How the time features go on.
    objective : Objective
    combination : Combination or None
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        rnn: nn.Module,
        combiner: nn.Module,
        transition: nn.Module,
        emitter: nn.Module,
        start: Tensor,
        frames: Frames,
        skip: nn.Module | None = None,
        locator: nn.Module | None = None,
        layout: LatentLayout | None = None,
        free_start: bool = False,
        filtering: bool = False,
        clock: Clock | None = None,
        objective: Objective | None = None,
        combination: Combination | None = None,
    ) -> None:
        super().__init__(combination)
        self.encoder, self.rnn, self.combiner = encoder, rnn, combiner
        self.transition, self.emitter, self.locator = transition, emitter, locator
        self.start = nn.Parameter(start)  # (latent,) or (latent, y', x')
        self.frames = frames
        self.skip, self.layout, self.clock = skip, layout, clock
        self.filtering = filtering
        # with a layout the state before z_1 is made of the first field itself: a transition from it would forecast z_2
        free_start = free_start or layout is not None
        # scale 1 at the start: latents are coefficients or amplitudes in standard deviations
        self.raw_start_scale = nn.Parameter(torch.full_like(start, softplus_inverse(1.0))) if free_start else None
        self.objective = objective or Objective()

    # The generative model and the guide, as Pyro programs of one latent and one observed site

    def model(self, x: Tensor, mask: Tensor, known: Covariates) -> Tensor:
        """Define p(x, z) of padded frames (b, t, channel, y, x), observed where `mask` is 1: the generative network."""
        prior = self._prior(x, known)
        with pyro.plate("window", x.shape[0]):
            z = pyro.sample("z", prior)
            loc, scale = self._emit(z, known.location)
            # the mask keeps what was filled in out of the likelihood, so a gap teaches nothing
            emission = Normal(loc, scale, validate_args=False).mask(mask.bool()).to_event(x.ndim - 1)
            pyro.sample("x", emission, obs=x)
        return z

    def guide(self, x: Tensor, mask: Tensor, known: Covariates) -> Tensor:
        """Define q(z | x) of padded frames: the inference network."""
        with pyro.plate("window", x.shape[0]):
            return pyro.sample("z", self._posterior(x, mask, known))

    # What training and forecasting call

    def loss(
        self,
        x: Tensor,
        mask: Tensor,
        origin: Tensor | None = None,
        progress: float = 1.0,
        target: Tensor | None = None,
        clock: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the training loss of a batch of windows, per observed value.

        Parameters
        ----------
        x : Tensor, (batch, time, channel, y, x)
            Scaled fields, finite everywhere.
        mask : Tensor, same shape
            1 where `x` was observed, else 0.
        origin : Tensor of int, (batch, 2), optional
            First row and column of each patch in the grid; the whole grid by default.
        progress : float
            Share of the training that is done, from 0 to 1.
        target : Tensor, same shape, optional
            What the forecast term is to forecast, where `x` is noisier than that.
        clock : Tensor, (batch, n_clock), optional
            Time features of the first step, for a module with a clock.

        Returns
        -------
        loss : Tensor, scalar
        terms : dict of scalar Tensor
            ``elbo`` (with the full KL), ``nll``, ``kl``, ``annealing``, and ``forecast`` where it is part of the loss;
            nats per observed value. While the transition is taught, those of `teaching_terms`.
        """
        if self.layout is not None and progress < self.objective.taught[1]:
            # noise is for the filter: what it would see is the truth here
            self._train_transition(True)
            fields = self._prepare(x if target is None else target, mask, origin, clock)
            return self._taught(self.layout, *fields, self.objective.ahead_at(progress))
        if self.layout is not None:
            self._train_transition(False)
        annealing = self.objective.annealing_at(progress)
        x, mask, known = self._prepare(x, mask, origin, clock)
        # per observed value: grids of any size then share a learning rate and a clipping norm
        n_observed = mask.sum().clamp(min=1)
        # one trace of each, not `Trace_ELBO`: its sites are needed for the terms that are recorded
        guide = poutine.trace(self.guide).get_trace(x, mask, known)
        model = poutine.trace(poutine.replay(self.model, trace=guide)).get_trace(x, mask, known)
        z: Any = guide.nodes["z"]["value"]
        q: Any = guide.nodes["z"]["fn"]
        p: Any = model.nodes["z"]["fn"]
        emission: Any = model.nodes["x"]["fn"]
        nll = -emission.log_prob(x).sum() / n_observed  # the mask of the emission already leaves gaps out
        if self.objective.kl == "analytic":
            kl = kl_divergence(q, p).sum() / n_observed
        else:
            kl = (q.log_prob(z) - p.log_prob(z)).sum() / n_observed
        loss = nll + annealing * kl
        # the true bound whatever the annealing, so that epochs can be compared
        terms = {"elbo": -(nll + kl), "nll": nll, "kl": kl, "annealing": nll.new_tensor(annealing)}
        if self.objective.forecast_weight:
            # the filter is to see through the noise that was added, not to forecast it
            wanted = x if target is None else self.frames.pad(target)
            steps = self._ahead(known), self.memory, lambda z: self._emit(z, known.location)[0]
            terms["forecast"] = forecast_term(q.means.states, wanted, mask, *steps, self.objective)
            loss = loss + self.objective.forecast_weight * terms["forecast"]
        return loss, {name: value.detach() for name, value in terms.items()}

    def begin(self, x: Tensor, mask: Tensor, horizon: int, clock: Tensor | None) -> tuple[Tensor, Tensor, Draw]:
        """Return the mean, its scale and what draws members; see `CombinedModule`.

        Members are latent sequences drawn for each context; the mean carries those of the posterior and of the
        transition on.
        """
        padded, seen, known = self._prepare(x, mask, None, clock)
        posterior, size = self._posterior(padded, seen, known), (x.shape[-2], x.shape[-1])

        def draw(n: int) -> tuple[Tensor, Tensor]:
            loc, scale = self._continue(posterior, known, horizon, n)
            return self.frames.crop(loc, size), self.frames.crop(scale, size)

        mean, scale = draw(0)
        return mean[0], scale[0], draw

    # Pieces

    def _continue(
        self, posterior: PosteriorChain, known: Covariates, horizon: int, n_samples: int
    ) -> tuple[Tensor, Tensor]:
        """Return mean and scale of the fields after a posterior, (members, batch, horizon, channel, y, x), padded."""
        batch, location, members = posterior.start.shape[0], known.location, max(n_samples, 1)
        # a filter's state follows the means; the only draw is that of the last latent
        if n_samples and posterior.filtering:
            steps, states = posterior.means
            loc, scale = (p[:, -1].repeat_interleave(members, 0) for p in (steps.loc, steps.scale))
            # the state before the last step, to which the draw is then added
            before = states[:, -2] if states.shape[1] > 1 else posterior.start
            z = loc + scale * torch.randn_like(loc)  # (batch * members, *latent)
            state = self.memory.push(before.repeat_interleave(members, 0), z)
        elif n_samples:
            # the recurrences ran once for each context; only the latent sequence is drawn for each member
            drawn = posterior.repeat(members)
            state = self.memory.states(drawn.start, drawn.rsample())[:, -1]
        else:
            state = posterior.means.states[:, -1]  # (batch, *state)
        path: list[Tensor] = []
        for _ in range(horizon):
            loc, scale = self.transition(state, location)
            # noise of the memory: with a layout it has the spatial correlations of past errors
            path.append(loc + scale * self.memory.noise(loc) if n_samples else loc)
            state = self.memory.push(state, path[-1])
        # members of one context are neighbours: (batch * members, ...) -> (members, batch, ...)
        loc, scale = (
            o.unflatten(0, (batch, members)).transpose(0, 1) for o in self._emit(torch.stack(path, dim=1), location)
        )
        return loc, scale

    def _taught(
        self, layout: LatentLayout, x: Tensor, mask: Tensor, known: Covariates, n_steps: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of the transition from an observed state, at `n_steps` steps from a random one on."""
        n_lags, n_times = layout.linear.n_lags, x.shape[1]
        n_steps = min(n_steps, n_times - 1)
        # a whole memory before it, where the window is long enough
        last = int(torch.randint(min(n_lags, n_times - n_steps) - 1, n_times - n_steps, ()))
        state = layout.observed(x[:, max(0, last + 1 - n_lags) : last + 1])
        if self.clock is not None and known.clock is not None:
            state = torch.cat([state, spread(self.clock.path(known.clock, last + 2)[:, -1], state)], dim=1)
        path = []
        for _ in range(n_steps):
            path.append(self.transition(state, known.location))
            state = self.memory.push(state, path[-1][0])
        loc, scale = (torch.stack(p, dim=1) for p in zip(*path, strict=True))
        later = slice(last + 1, last + 1 + n_steps)
        return teaching_terms(layout, loc, scale, x[:, later], mask[:, later])

    def _train_transition(self, trained: bool) -> None:
        """Train the transition, or keep it as it was taught."""
        # kept with the filter: the divergence would weigh small and quiet parts as much as all else
        for part in (self.transition, self.locator):
            if part is not None:
                part.requires_grad_(trained)

    def _ahead(self, known: Covariates) -> Callable[[Tensor], Tensor]:
        return lambda state: self.transition(state, known.location)[0]

    def _untrained(self, known: Covariates) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return the transition without a gradient, which through all steps of a filter would cost the most."""
        return torch.no_grad()(lambda state: self.transition(state.detach(), known.location))

    def _prepare(
        self, x: Tensor, mask: Tensor, origin: Tensor | None = None, clock: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Covariates]:
        """Return padded frames, their mask, and what is known of their places and times."""
        # only a whole grid goes around the globe
        go_around(self, origin is None)
        static = self.frames.static_of(origin, (x.shape[-2], x.shape[-1]))
        # once for a window: the places are the same in all steps
        location = self.locator(static) if self.locator is not None and static is not None else None
        return self.frames.pad(x), self.frames.pad_mask(mask), Covariates(static, location, clock)

    def _posterior(self, x: Tensor, mask: Tensor, known: Covariates) -> PosteriorChain:
        batch_time = x.shape[:2]
        inputs, start = x, self._expand(self.start, x)  # (batch, time, channel, y, x), (batch, *latent)
        latent = start.shape[1:]
        # past the recurrence, so that the observed coefficients reach the combiner unsmoothed
        skip = None if self.skip is None else self.skip(x.flatten(0, 1)).unflatten(0, batch_time)
        if self.layout is not None:
            linear = self.layout.linear
            lagged = linear.lags(x)  # (batch, time, n_lags * n_folded, y / d, x / d)
            start = self.layout.start(x)
            # fields and errors both of unit variance: errors are the smaller by far, and all that is new in a frame
            inputs = torch.cat([x / linear.cell_std, linear.errors(x, lagged)], dim=2)
            skip = lagged[:, :, : linear.n_folded]  # the latest coefficients
        elif skip is not None:
            # of the patterns: the amplitudes of the first field
            start = skip[:, 0]
        frames = self.frames.inputs(inputs, mask, known.static)
        features = self.encoder(frames.flatten(0, 1)).unflatten(0, batch_time)  # (batch, time, *features)
        # after `latent` was taken: the clock is part of the state, not of the latent
        start = self._timed(start, known)
        # a filter corrects the forecast that the transition makes anyway
        forecast = None if self.layout is None else self._untrained(known)
        hidden = self.rnn(features)
        return PosteriorChain(
            self.combiner, hidden, skip, start, latent, self.memory, filtering=self.filtering, forecast=forecast
        )

    def _prior(self, x: Tensor, known: Covariates) -> PriorChain:
        start, first = self._expand(self.start, x), None
        if self.raw_start_scale is not None:
            first = start, self._expand(positive(self.raw_start_scale, 0.0), x)  # each (batch, *latent)
        if self.layout is not None:
            start = self.layout.start(x)
        latent, start = start.shape[1:], self._timed(start, known)
        return PriorChain(
            lambda s: self.transition(s, known.location),
            start,
            x.shape[1],
            self.memory,
            first,
            latent=latent,
            n_steps=self.objective.n_steps,
        )

    def _timed(self, start: Tensor, known: Covariates) -> Tensor:
        """Return a state before the first step, with the clock of that step where there is one."""
        if self.clock is None:
            return start
        if known.clock is None:
            raise ValueError("clock=None: the module has a clock, give the time features of the first steps")
        return torch.cat([start, spread(known.clock, start)], dim=1)  # the clock stands last: see `ClockedMemory`

    @property
    def memory(self) -> Memory:
        """What a state holds of the past."""
        # made anew at each call: it holds no state, and the module stays free of a second reference
        memory: Memory = FirstOrder() if self.layout is None else self.layout
        return memory if self.clock is None else ClockedMemory(memory, self.clock)

    def _expand(self, start: Tensor, x: Tensor) -> Tensor:
        if start.ndim == 1:  # a latent vector, which has no grid
            return start.expand(x.shape[0], -1)
        # not the size of `start`: a patch is smaller than the grid
        rows, columns = (size // self.frames.multiple for size in x.shape[-2:])
        return start.expand(x.shape[0], -1, rows, columns)

    def _emit(self, z: Tensor, location: Tensor | None) -> tuple[Tensor, Tensor]:
        loc, scale = self.emitter(z.flatten(0, 1), location)
        return loc.unflatten(0, z.shape[:2]), scale.unflatten(0, z.shape[:2])
