"""Chains of Gaussians against the Kalman filter, sums of their steps and what drawing from them says."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from gridcast.modules.chains import PosteriorChain, PriorChain

N_TIMES = 4


def transition(z):
    return torch.tanh(z), 0.5 + 0.1 * z.square()


def combiner(previous, hidden, skip, ahead):
    return 0.5 * previous + hidden, 0.3 + 0.1 * previous.square()


def chains(batch=3, first=None, filtering=False):
    """A prior and a posterior over two latents, whose scales depend on what comes before."""
    start = torch.randn(batch, 2)
    prior = PriorChain(transition, start, N_TIMES, first=first)
    return prior, PosteriorChain(combiner, torch.randn(batch, N_TIMES, 2), None, start, filtering=filtering)


@pytest.mark.parametrize("own_first", [False, True])
def test_density_of_a_prior_is_that_of_its_steps_one_after_the_other(own_first):
    first = (torch.randn(3, 2), torch.rand(3, 2) + 0.5) if own_first else None
    prior, _ = chains(first=first)
    z = torch.randn(3, N_TIMES, 2)
    expected, previous = torch.zeros(3), prior.start
    for t in range(N_TIMES):
        loc, scale = first if own_first and t == 0 else transition(previous)
        expected += Normal(loc, scale).log_prob(z[:, t]).sum(1)
        previous = z[:, t]
    torch.testing.assert_close(prior.log_prob(z), expected)


def test_density_of_a_drawn_posterior_is_that_of_an_equal_sequence():
    _, posterior = chains()
    z = posterior.rsample()
    remembered, computed = posterior.log_prob(z), posterior.log_prob(z.clone())
    torch.testing.assert_close(remembered, computed)


@pytest.mark.parametrize("kind", ["prior", "posterior", "filter"])
def test_draws_scatter_around_their_steps_with_the_scales_of_the_steps(kind):
    start = torch.tensor([[0.4, -0.8]]).expand(20000, 2)
    hidden = torch.tensor([0.1, 0.2]).expand(20000, N_TIMES, 2)
    prior = PriorChain(transition, start, N_TIMES)
    chain = prior if kind == "prior" else PosteriorChain(combiner, hidden, None, start, filtering=kind == "filter")
    z = chain.rsample()
    steps = chain.steps(z)
    standard = (z - steps.loc) / steps.scale
    assert z.shape == (20000, N_TIMES, 2)
    torch.testing.assert_close(standard.mean(0), torch.zeros(N_TIMES, 2), atol=0.04, rtol=0)
    torch.testing.assert_close(standard.std(0), torch.ones(N_TIMES, 2), atol=0.04, rtol=0)


def test_a_filter_follows_its_means_and_a_posterior_its_draws():
    _, posterior = chains()
    z = posterior.rsample()
    torch.testing.assert_close(posterior.steps(z).loc[:, 1:], 0.5 * z[:, :-1] + posterior.hidden[:, 1:])
    _, estimates = chains(filtering=True)
    means = estimates.steps(estimates.rsample()).loc
    torch.testing.assert_close(means[:, 1:], 0.5 * means[:, :-1] + estimates.hidden[:, 1:])
    torch.testing.assert_close(estimates.means.states, means)  # the states of order one are the latents


def test_a_filter_corrects_the_forecast_from_its_own_means():
    def correct(previous, hidden, skip, ahead):
        return ahead + 0.5 * (hidden - ahead), torch.full_like(ahead, 0.3)

    start = torch.randn(3, 2)
    hidden = torch.randn(3, N_TIMES, 2)
    chain = PosteriorChain(correct, hidden, None, start, filtering=True, forecast=lambda z: transition(z)[0])
    steps, states = chain.means
    before = torch.cat([start[:, None], states[:, :-1]], dim=1)
    torch.testing.assert_close(steps.loc, 0.5 * (transition(before)[0] + hidden))


@pytest.mark.parametrize("own_first", [False, True])
def test_the_divergence_of_a_few_steps_is_on_average_that_of_all(own_first):
    first = (torch.randn(3, 2), torch.rand(3, 2) + 0.5) if own_first else None
    prior, posterior = chains(first=first)
    posterior.rsample()
    whole = kl_divergence(posterior, prior)
    prior.n_steps = 1
    few = torch.stack([kl_divergence(posterior, prior) for _ in range(3000)])
    torch.testing.assert_close(few.mean(0), whole, rtol=0.05, atol=0.02)


def test_repeated_entries_stand_next_to_each_other():
    _, posterior = chains(batch=2)
    torch.testing.assert_close(posterior.repeat(3).means.steps.loc, posterior.means.steps.loc[[0, 0, 0, 1, 1, 1]])


def test_analytic_divergence_is_the_mean_of_the_monte_carlo_one():
    prior, posterior = chains(batch=1)
    analytic, sampled = [], []
    for _ in range(2000):
        z = posterior.rsample()
        analytic.append(kl_divergence(posterior, prior).item())
        sampled.append((posterior.log_prob(z) - prior.log_prob(z)).item())
    error = np.std(sampled) / math.sqrt(len(sampled))
    assert np.mean(analytic) == pytest.approx(np.mean(sampled), abs=4 * error)
    assert np.std(analytic) < np.std(sampled)


def test_what_a_chain_can_not_do_is_an_error():
    prior, posterior = chains()
    with pytest.raises(ValueError, match="not drawn from"):
        kl_divergence(posterior, prior)
    with pytest.raises(ValueError, match=r"sample_shape=\(2,\)"):
        posterior.rsample((2,))
    with pytest.raises(ValueError, match=r"batch_shape=\(5,\): the chain has \(3,\)"):
        prior.expand((5,))
    assert prior.expand((3,)) is prior
    assert prior.rsample((2,)).shape == (2, 3, N_TIMES, 2)


def test_elbo_of_a_linear_gaussian_chain_is_bounded_by_the_kalman_likelihood_and_reaches_it():
    """One AR(1) latent with noisy observations: the exact posterior makes the bound tight, any other one loosens it."""
    a, q_sd, r_sd, n = 0.9, 0.5, 0.7, 6
    x = torch.randn(n, dtype=torch.float64)
    mean, variance, likelihood = 0.0, 0.0, 0.0
    filtered = []
    for value in x.tolist():
        mean, variance = a * mean, a * a * variance + q_sd**2
        s = variance + r_sd**2
        likelihood += -0.5 * (math.log(2 * math.pi * s) + (value - mean) ** 2 / s)
        gain = variance / s
        mean, variance = mean + gain * (value - mean), (1 - gain) * variance
        filtered.append((mean, variance))

    # The exact posterior of z_t given z_{t-1} and x_{t:T}: backward information filter.
    precision, shift = 0.0, 0.0
    steps = []
    for value in reversed(x.tolist()):
        precision, shift = precision + 1 / r_sd**2, shift + value / r_sd**2
        total = precision + 1 / q_sd**2
        steps.append((a / q_sd**2 / total, shift / total, total**-0.5))
        carried = 1 / (1 / precision + q_sd**2)
        shift, precision = a * carried * shift / precision, a * a * carried
    steps.reverse()
    table = torch.tensor(steps, dtype=torch.float64)

    def exact(previous, hidden, skip, ahead):
        return hidden[:, :1] * previous + hidden[:, 1:2], hidden[:, 2:3]

    start = torch.zeros(1, 1, dtype=torch.float64)
    prior = PriorChain(lambda z: (a * z, torch.full_like(z, q_sd)), start, n)

    def elbo(hidden, m=400):
        posterior = PosteriorChain(exact, hidden.expand(m, -1, -1), None, start.expand(m, 1))
        wide = PriorChain(prior.transition, start.expand(m, 1), n)
        z = posterior.rsample()
        nll = -torch.distributions.Normal(z[..., 0], r_sd).log_prob(x).sum(1)
        return (-nll - (posterior.log_prob(z) - wide.log_prob(z))).mean().item()

    assert elbo(table[None]) == pytest.approx(likelihood, abs=1e-9)
    worse = table.clone()
    worse[:, 2] *= 1.5
    assert elbo(worse[None]) < likelihood - 0.05
