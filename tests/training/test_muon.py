"""Steps of Muon: singular values near one, and Adam's steps for all that is no kernel."""

import numpy as np
import pytest
import torch
from torch import nn

from gridcast.training.muon import Muon, is_kernel, orthogonalised


def drawn(shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


@pytest.mark.parametrize("shape", [(3, 32, 288), (2, 96, 64), (1, 40, 40)])
def test_singular_values_are_near_one_and_singular_vectors_stay(shape):
    matrices = drawn(shape)
    found = orthogonalised(matrices)
    values = torch.linalg.svdvals(found)
    assert found.shape == matrices.shape
    assert values[..., : min(shape[1:]) * 9 // 10].min() > 0.6
    assert values.max() < 1.3
    # the nearest of all matrices with such vectors: the polar factor
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    cosine = (found * (left @ right)).sum((1, 2)) / (found.norm(dim=(1, 2)) * (left @ right).norm(dim=(1, 2)))
    assert cosine.min() > 0.95


def test_single_precision_is_enough():
    matrices = drawn((2, 96, 864)).float() * torch.logspace(0, -3, 96)[:, None]
    exact = orthogonalised(matrices.double()).float()
    torch.testing.assert_close(orthogonalised(matrices), exact, atol=2e-3, rtol=0)


def network():
    with torch.random.fork_rng(devices=[]):  # weights are drawn before they are set
        net = nn.Sequential(nn.Conv2d(8, 32, 3), nn.GroupNorm(4, 32), nn.Conv2d(32, 2, 3))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(0.1 * drawn(p.shape))
    return net


def stepped(make):
    """Return the parameters after one step from gradients that were drawn."""
    net = network()
    for p in net.parameters():
        p.grad = drawn(p.shape).float()
    make(net.parameters(), lr=1e-3, weight_decay=0.1).step()
    return {name: p.detach() for name, p in net.named_parameters()}


def test_what_is_no_kernel_takes_the_first_step_of_adam():
    ours, adams = stepped(Muon), stepped(torch.optim.AdamW)
    assert [name for name in ours if not torch.equal(ours[name], adams[name])] == ["0.weight"]


def test_steps_of_a_kernel_go_as_far_in_all_directions():
    decayed = (1 - 1e-4) * network()[0].weight.detach()
    values = torch.linalg.svdvals((stepped(Muon)["0.weight"] - decayed).flatten(1))
    assert values.min() > 0.5 * 10 * 1e-3
    assert values.max() < 1.3 * 10 * 1e-3


def test_it_goes_on_from_its_state_as_if_it_had_not_stopped():
    def train(optimizer, net, n):
        for _ in range(n):
            optimizer.zero_grad()
            net(torch.ones(1, 8, 6, 6)).square().sum().backward()
            optimizer.step()

    whole, first, second = network(), network(), network()
    train(Muon(whole.parameters(), lr=1e-3), whole, 4)
    optimizer = Muon(first.parameters(), lr=1e-3)
    train(optimizer, first, 2)
    second.load_state_dict(first.state_dict())
    resumed = Muon(second.parameters(), lr=1e-3)
    resumed.load_state_dict(optimizer.state_dict())
    train(resumed, second, 2)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_gradient_of_zero_moves_nothing():
    p = nn.Parameter(torch.ones(32, 4, 3, 3))
    assert is_kernel(p)
    p.grad = torch.zeros_like(p)
    Muon([p], lr=0.1, weight_decay=0.0).step()
    assert torch.equal(p, torch.ones_like(p))
    assert not is_kernel(torch.zeros(16, 4, 3, 3))
    assert not is_kernel(torch.zeros(64, 64))


def test_a_kernel_that_is_kept_is_left_alone():
    kept, trained = nn.Parameter(torch.ones(32, 4, 3, 3)), nn.Parameter(torch.ones(3))
    trained.grad = torch.ones(3)
    Muon([kept, trained], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(kept, torch.ones_like(kept))
    assert not torch.equal(trained, torch.ones(3))
