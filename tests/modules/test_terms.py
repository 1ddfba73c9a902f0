"""Terms of the loss against what they are made of."""

import pytest
import torch
from torch.distributions import Normal

from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise
from gridcast.modules.residual import LatentLayout
from gridcast.modules.terms import teaching_terms


@pytest.fixture
def layout():
    linear = LinearForecast((1, 4, 6), 2, 2)
    linear.cell_step.fill_(0.5)
    return LatentLayout(linear, CorrelatedNoise(1, (4, 2, 3)))


def test_teaching_is_the_error_of_fields_and_the_likelihood_of_the_first_coefficients(layout):
    loc, scale, truth = torch.randn(3, 2, 4, 2, 3), torch.rand(3, 2, 4, 2, 3) + 0.5, torch.randn(3, 2, 1, 4, 6)
    linear = layout.linear
    folded = linear.fold(truth.flatten(0, 1)).unflatten(0, (3, 2))
    # the basis is orthonormal: the error of a field is that of its coefficients
    errors = (folded - loc).square().mean((0, 2, 3, 4)) / 0.5**2
    one, terms = teaching_terms(layout, loc[:, :1], scale[:, :1], truth[:, :1], torch.ones_like(truth[:, :1]))
    assert float(one - terms["taught"]) == pytest.approx(float(errors[0]), rel=1e-5)
    loss, terms = teaching_terms(layout, loc, scale, truth, torch.ones_like(truth))
    assert float(terms["mse"]) == pytest.approx(float(errors.mean()), rel=1e-5)
    likelihood = Normal(loc[:, 0], scale[:, 0]).log_prob(folded[:, 0]).mean()
    assert float(terms["taught"]) == pytest.approx(-float(likelihood), rel=1e-5)
    assert float(loss - terms["taught"]) == pytest.approx(float(errors.log().mean()), rel=1e-5)


def test_the_likelihood_teaches_the_scale_alone(layout):
    loc, scale = torch.randn(3, 1, 4, 2, 3, requires_grad=True), torch.ones(3, 1, 4, 2, 3, requires_grad=True)
    truth = layout.linear.unfold(loc[:, 0]).detach()[:, None]  # no error: all that is left is the likelihood
    teaching_terms(layout, loc, scale, truth, torch.ones_like(truth))[0].backward()
    assert loc.grad.abs().max() < 1e-5
    assert scale.grad.min() > 0


def test_what_was_not_observed_teaches_nothing(layout):
    loc, scale, truth = torch.randn(3, 2, 4, 2, 3), torch.rand(3, 2, 4, 2, 3) + 0.5, torch.randn(3, 2, 1, 4, 6)
    seen = torch.ones_like(truth)
    seen[..., :2, :4] = 0.0  # two whole blocks
    filled = torch.where(seen.bool(), truth, 9.0)
    losses = [teaching_terms(layout, loc, scale, t, seen)[0] for t in (truth, filled)]
    torch.testing.assert_close(*losses)
