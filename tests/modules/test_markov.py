"""The Markov module against a Pyro model written the usual way, one site a time step."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from gridcast.data.statistics import field_statistics
from gridcast.forecasters import CNMMForecaster, ConvLSTMForecaster, DMMForecaster
from gridcast.modules.dense import Patterns, fit_patterns
from gridcast.modules.objective import Objective
from gridcast.training.spec import ModuleSpec, location_channels

SHAPE = (2, 8, 12)  # channels, rows, columns
ARCHITECTURES = ["residual", "paper"]


def untrained(forecaster, shape=SHAPE, complete=True, periodic=(False, False)):
    statistics = field_statistics(np.random.default_rng(0).normal(size=(1, 9, *shape)))
    static = location_channels(statistics, periodic) if forecaster.architecture == "residual" else None
    torch.manual_seed(0)
    module = forecaster._build_module(ModuleSpec(shape, complete, static, periodic, 20))
    runs = [0.3 * torch.randn(20, *shape)]
    if getattr(module, "layout", None) is not None:
        model = module.combination.linear
        model.fit(runs)
        module.layout.take(model.linear)
    elif isinstance(getattr(module, "skip", None), Patterns):
        fit_patterns(module.skip, runs)
    return module


def build(*args, **options):
    """Build a forecaster's module, with every weight moved off its start so that no term is trivially zero."""
    module = untrained(*args, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def small_cnmm(**parameters):
    defaults = {
        "encoder_channels": (4, 6),
        "rnn_channels": 6,
        "latent_channels": 3,
        "lags": 3,
        "transition_channels": 6,
        "emitter_channels": (6, 4),
    }
    return CNMMForecaster(**(defaults | parameters))


def small_dmm(**parameters):
    defaults = {
        "encoder_channels": (4, 6),
        "encoder_features": 10,
        "rnn_channels": 8,
        "latent_channels": 5,
        "transition_channels": 7,
        "emitter_channels": (6, 4),
    }
    return DMMForecaster(**(defaults | parameters))


def windows(shape=SHAPE, batch=3, n_times=5, missing=0.2):
    x = 0.3 * torch.randn(batch, n_times, *shape)
    mask = (torch.rand_like(x) > missing).float()
    return x * mask, mask


def per_step_elbo(module, x, mask, z):
    """ELBO of a Pyro model and guide with one latent and one observed site a step, on the draws `z`."""
    x, mask, known = module._prepare(x, mask)
    n_times, location = x.shape[1], known.location
    posterior, prior = module._posterior(x, mask, known), module._prior(x, known)

    def model():
        state = prior.start
        for t in range(n_times):
            loc, scale = module.transition(state, location) if t or prior.first is None else prior.first
            latent = pyro.sample(f"z_{t}", dist.Normal(loc, scale).to_event(loc.ndim))
            state = module.memory.push(state, latent)
            loc, scale = module.emitter(latent, location)
            pyro.sample(f"x_{t}", dist.Normal(loc, scale).mask(mask[:, t].bool()).to_event(loc.ndim), obs=x[:, t])

    def guide():
        state, ahead = posterior.start, posterior.forecast
        for t in range(n_times):
            skip = None if posterior.skip is None else posterior.skip[:, t]
            loc, scale = module.combiner(state, posterior.hidden[:, t], skip, None if ahead is None else ahead(state))
            latent = pyro.sample(f"z_{t}", dist.Normal(loc, scale).to_event(loc.ndim))
            state = module.memory.push(state, loc if posterior.filtering else latent)

    draws = {f"z_{t}": z[:, t] for t in range(n_times)}
    log_q = poutine.trace(poutine.condition(guide, data=draws)).get_trace().log_prob_sum()
    log_p = poutine.trace(poutine.condition(model, data=draws)).get_trace().log_prob_sum()
    return log_p - log_q


@pytest.mark.parametrize("make", [small_cnmm, small_dmm])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_elbo_equals_that_of_a_per_time_step_pyro_model(make, architecture):
    module = build(make(architecture=architecture))
    module.objective = Objective("monte_carlo", forecast_weight=0.0)
    x, mask = windows()
    torch.manual_seed(7)
    _, terms = module.loss(x, mask)
    torch.manual_seed(7)
    padded, padded_mask, known = module._prepare(x, mask)
    z = module._posterior(padded, padded_mask, known).rsample()
    expected = per_step_elbo(module, x, mask, z).detach() / mask.sum()
    assert float(terms["elbo"]) == pytest.approx(float(expected), rel=1e-4)


def test_trace_elbo_of_pyro_takes_the_model_and_the_guide():
    module = build(small_cnmm(architecture="paper"))
    x, mask, known = module._prepare(*windows())
    torch.manual_seed(3)
    ours, _ = module.loss(x, mask)
    torch.manual_seed(3)
    theirs = pyro.infer.Trace_ELBO().differentiable_loss(module.model, module.guide, x, mask, known)
    assert float(theirs.detach()) / float(mask.sum()) == pytest.approx(float(ours.detach()), rel=1e-4)
    assert not pyro.get_param_store().keys()


@pytest.mark.parametrize(
    "forecaster",
    [
        *[small_cnmm(architecture=a) for a in ARCHITECTURES],
        small_cnmm(lags=1),
        small_cnmm(latent_channels=4, patch_size=8),
        *[small_dmm(architecture=a) for a in ARCHITECTURES],
        *[ConvLSTMForecaster(rnn_channels=6, n_states=3, context=3, architecture=a) for a in ARCHITECTURES],
    ],
    ids=str,
)
@pytest.mark.parametrize("complete", [True, False])
def test_every_parameter_of_every_module_has_a_gradient(forecaster, complete):
    module = build(forecaster, complete=complete)
    for progress in (0.0, 1.0):  # all stages together
        module.loss(*windows(), progress=progress)[0].backward()
    without = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_untrained_convlstm_forecasts_persistence():
    module = untrained(ConvLSTMForecaster(rnn_channels=6, context=3))
    x, mask = windows(missing=0.0)
    loc, scale = module.forecast(x, mask, 1)
    assert loc.shape == scale.shape == (1, 3, 1, *SHAPE)
    torch.testing.assert_close(loc[0, :, 0], x[:, -1])


def test_untrained_cnmm_forecasts_persistence():
    module = untrained(small_cnmm())
    with torch.no_grad():
        module.combiner.gain.bias.fill_(40.0)  # observations without noise
        module.layout.linear.limit.fill_(math.inf)  # some of these are records
    x, mask = windows(missing=0.0)
    loc, _ = module.forecast(x, mask, 3)
    torch.testing.assert_close(loc[0], x[:, -1:].expand_as(loc[0]), atol=1e-5, rtol=1e-4)


def test_the_transition_is_kept_while_the_filter_is_trained():
    module = build(small_cnmm())
    for progress in (1.0, 0.0, 1.0):
        module.zero_grad()
        module.loss(*windows(), progress=progress)[0].backward()
        taught, filtered = module.transition.network.inlet.weight.grad, module.combiner.gain.weight.grad
        assert (taught is None) == (progress == 1.0)
        assert (filtered is None) == (progress == 0.0)


@pytest.mark.parametrize("make", [small_cnmm, small_dmm])
def test_samples_scatter_around_the_mean_path(make):
    module = build(make())
    x, mask = windows(batch=2)
    mean, _ = module.forecast(x, mask, 3)
    samples, _ = module.forecast(x, mask, 3, 64)
    assert samples.shape == (64, *mean.shape[1:])
    assert samples.std(0).min() > 0
    assert (samples.mean(0) - mean[0]).square().mean() < samples.var(0).mean()


@pytest.mark.parametrize(("architecture", "sees"), [("residual", False), ("paper", True)])
def test_a_filter_does_not_see_the_future_and_the_papers_posterior_does(architecture, sees):
    x, mask = windows(missing=0.0)
    later = x.clone()
    later[:, -1] += 1.0
    module = build(small_cnmm(architecture=architecture))
    paths = [module._posterior(*module._prepare(v, mask)).means.steps.loc[:, :-1] for v in (x, later)]
    assert bool((paths[0] != paths[1]).any()) is sees


def test_masked_values_do_not_matter_to_the_loss():
    module = build(small_cnmm(), complete=False)
    x, mask = windows()
    losses = []
    for filling in (0.0, 5.0):
        torch.manual_seed(2)
        padded, seen, known = module._prepare(x, mask)
        z = module._posterior(padded, seen, known).rsample()
        filled = torch.where(seen.bool(), padded, torch.full_like(padded, filling))
        trace = poutine.trace(poutine.condition(module.model, data={"z": z})).get_trace(filled, seen, known)
        losses.append(trace.nodes["x"]["fn"].log_prob(filled).sum())
    assert torch.equal(*losses)
