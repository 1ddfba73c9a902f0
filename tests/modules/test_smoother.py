"""The smoother against dense linear algebra."""

import copy

import pytest
import torch
from linear_processes import SIZE, autoregression, linear_field, make_model

from gridcast.modules.innovations import Innovations, Problem
from gridcast.modules.smoother import Observed, Smoother

N_TIMES = 5


@pytest.fixture(scope="module")
def model():
    made = make_model(n_errors=500)
    made.fit([autoregression(3000)])
    return made


def assert_near(found, expected):
    """Assert equality but for what a search leaves."""
    assert float((found - expected).square().mean().sqrt()) < 0.03 * float(expected.square().mean().sqrt())


@pytest.fixture(scope="module")
def dense(model):
    """W as a matrix."""
    n = N_TIMES * SIZE[0] * SIZE[1]
    basis = torch.eye(n).view(n, N_TIMES, 1, *SIZE)
    return Innovations(model)(basis).flatten(1).T.double()


def run_of(seed=0):
    return autoregression(N_TIMES, seed=seed)[None]


def test_the_gradient_is_that_of_the_matrix(model, dense):
    innovations, x = Innovations(model), run_of(3)
    flat = dense @ x.double().flatten()
    torch.testing.assert_close(innovations(x).double().flatten(), flat, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(innovations.pull(x).double().flatten(), dense.T @ flat, rtol=1e-3, atol=1e-3)
    w = torch.randn_like(innovations(x))
    expected = dense.T @ (flat - w.double().flatten())
    torch.testing.assert_close(innovations.pull(x, w).double().flatten(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_mean_is_the_exact_conditional_one(model, dense, noisy):
    torch.manual_seed(0)
    x, mask = run_of(4), (torch.rand(1, N_TIMES, 1, *SIZE) < 0.5).float()
    variance = 0.04 * torch.ones_like(x) if noisy else torch.zeros_like(x)
    found = Smoother(model).mean(Observed(x * mask, mask, variance)).flatten().double()
    seen, hidden = (m.flatten().bool() for m in (mask, 1 - mask))
    precision = dense.T @ dense
    if noisy:
        right = (mask / variance).flatten().double() * x.flatten().double()
        expected = torch.linalg.solve(precision + torch.diag((mask / variance).flatten().double()), right)
        assert_near(found, expected)
    else:
        y = x.flatten().double()[seen]
        expected = -torch.linalg.solve(precision[hidden][:, hidden], precision[hidden][:, seen] @ y)
        assert_near(found[hidden], expected)
        torch.testing.assert_close(found[seen], y, rtol=0, atol=0)


def test_draws_have_the_exact_spread(model, dense):
    torch.manual_seed(0)
    x, mask = run_of(5), (torch.rand(1, N_TIMES, 1, *SIZE) < 0.5).float()
    smoother, observed = Smoother(model), Observed(x * mask, mask, torch.zeros_like(x))
    mean = smoother.mean(observed)
    draws = smoother.draw(observed, mean, 400)[:, 0]
    hidden = (1 - mask).flatten().bool()
    exact = torch.linalg.inv((dense.T @ dense)[hidden][:, hidden]).diagonal()
    ratio = draws.flatten(1)[:, hidden].double().var(0) / exact
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    assert (draws.flatten(1)[:, ~hidden] == x.flatten()[~hidden]).all()


def test_several_runs_are_solved_as_each_alone(model):
    torch.manual_seed(0)
    x, mask = torch.cat([run_of(1), run_of(2)]), (torch.rand(2, N_TIMES, 1, *SIZE) < 0.6).float()
    observed = Observed(x * mask, mask, 0.01 * torch.ones_like(x))
    both = Smoother(model).mean(observed)
    for i in range(2):
        alone = Smoother(model).mean(Observed(*(part[i : i + 1] for part in observed)))
        assert_near(both[i : i + 1], alone)
    assert Smoother(model).draw(observed, both, 3).shape == (3, 2, N_TIMES, 1, *SIZE)


def test_the_response_is_the_covariance_with_a_sum(model):
    weights = torch.zeros(1, 3, 1, *SIZE)
    weights[0, 2, 0, :4, :4] = 1 / 16
    free = torch.ones(1, 3, 1, *SIZE, dtype=torch.bool)
    smoother = Smoother(model)
    response = smoother.response(weights, free)
    # the variance of a mean over a block of an autoregression, each cell for itself
    noise = (1 + 0.8**2 + 0.8**4) * 0.3**2
    assert float((weights * response).sum()) == pytest.approx(noise / 16, rel=0.2)
    moved = smoother.condition(torch.ones(1, 3, 1, *SIZE), weights > 0)
    assert (moved[weights > 0] == 1).all()
    # earlier by as much as an autoregression forgets going back
    variances = [0.3**2 * sum(0.8 ** (2 * k) for k in range(lead)) for lead in (1, 2, 3)]
    expected = 0.8 * variances[1] / variances[2]
    assert float(moved[0, 1, 0, :4, :4].mean()) == pytest.approx(expected, rel=0.15)


def test_what_is_free_nowhere_stays(model):
    x = run_of()
    free = torch.zeros_like(x, dtype=torch.bool)
    assert (Problem(Innovations(model), free, torch.zeros_like(x)).solve(x, x) == x).all()


def fields(n_times, seed):
    """Whole blocks: of those that are padded the model believes more than it should."""
    return torch.from_numpy(linear_field(n_times, seed=seed) - 280)[:, None]


@pytest.fixture(scope="module")
def whole():
    made = make_model(n_errors=500, size=(8, 12))
    made.fit([fields(3000, 0)])
    return made


@pytest.fixture
def hidden_runs(whole):
    torch.manual_seed(0)
    x = torch.stack([fields(40, seed) for seed in range(10, 14)])
    hidden = torch.rand_like(x) < 0.4
    hidden[:, : Smoother(whole).n_lags] = False
    parts = (x, torch.ones_like(x), torch.zeros_like(x), hidden)
    return [(Observed(*of), hid) for *of, hid in zip(*(part.split(1) for part in parts), strict=True)]


@pytest.mark.parametrize("n_times", [40, 9])
def test_draws_that_are_right_are_left_as_wide_as_they_are(whole, hidden_runs, n_times):
    few = [(Observed(*(p[:, :n_times] for p in of)), hidden[:, :n_times]) for of, hidden in hidden_runs]
    assert float(Smoother(whole).width(few)) == pytest.approx(1, abs=0.05)


def test_the_width_is_that_of_the_errors_of_what_is_hidden(whole, hidden_runs):
    # anomalies so many times larger than those that the model has learned
    larger = [(of._replace(values=1.5 * of.values), hidden) for of, hidden in hidden_runs]
    assert float(Smoother(whole).width(larger)) == pytest.approx(1.5, rel=0.08)
    smaller = [(of._replace(values=0.6 * of.values), hidden) for of, hidden in hidden_runs]
    assert float(Smoother(whole).width(smaller)) == 1  # what a model has seen does not show how small its errors are


def test_where_nothing_is_hidden_the_width_stays(whole, hidden_runs):
    assert float(Smoother(whole).width([(of, torch.zeros_like(hid)) for of, hid in hidden_runs])) == 1


def test_a_width_multiplies_the_deviations_of_draws(model):
    torch.manual_seed(0)
    x, mask = run_of(5), (torch.rand(1, N_TIMES, 1, *SIZE) < 0.5).float()
    wider = copy.deepcopy(model)
    wider.widening.fill_(1.5)
    # some of the observations have errors, which are drawn as well
    observed, found = Observed(x * mask, mask, 0.04 * (torch.rand_like(x) < 0.5)), []
    for smoother in (Smoother(model), Smoother(wider)):
        mean = smoother.mean(observed)
        torch.manual_seed(1)
        found.append(smoother.draw(observed, mean, 20)[:, 0] - mean)
    assert_near(found[1], 1.5 * found[0])
