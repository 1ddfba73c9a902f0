import pytest
import torch
from torch import nn

from gridcast.training.cost import training_cost
from gridcast.training.engine import seeded


class OneConvolution(nn.Module):
    """A convolution of k x k cells from n to m channels, and its squares, which are kept for the backward pass."""

    def __init__(self, n_in, n_out, kernel_size):
        super().__init__()
        with seeded(0):
            self.conv = nn.Conv2d(n_in, n_out, kernel_size, padding="same", bias=False)
        self.seen = []

    def loss(self, x, mask, origin=None, progress=1.0, target=None, clock=None):
        self.seen.append((tuple(x.shape), origin, clock, self.training))
        y = self.conv(x.flatten(0, 1))
        return y.square().mean(), {}


@pytest.mark.parametrize(("n_in", "n_out", "kernel_size", "size"), [(1, 4, 3, (8, 8)), (3, 2, 5, (16, 4))])
def test_a_convolution_costs_two_operations_a_weight_and_cell_forward_and_as_many_for_its_weights(
    n_in, n_out, kernel_size, size
):
    module = OneConvolution(n_in, n_out, kernel_size)
    cost = training_cost(module, (6, n_in, *size))
    cells = size[0] * size[1]
    forward = 2 * kernel_size**2 * n_in * n_out * cells
    assert cost.flop == 2 * forward  # the input needs no gradient
    assert cost.saved_bytes == pytest.approx(4 * cells * (n_in + n_out))
    assert cost.scaled(3).flop == 3 * cost.flop


def test_the_module_is_left_as_it_was_and_random_numbers_too():
    module = OneConvolution(1, 2, 3).eval()
    before = torch.get_rng_state()
    training_cost(module, (6, 1, 8, 8), patch=True, n_clock=4)
    assert not module.training
    assert all(p.grad is None for p in module.parameters())
    assert torch.equal(before, torch.get_rng_state())
    shape, origin, clock, training = module.seen[0]
    assert shape == (1, 6, 1, 8, 8)
    assert training
    assert origin.tolist() == [[0, 0]]
    assert clock.shape == (1, 4)


class Staged(OneConvolution):
    """The convolution on all frames of a window before a share of the training, and then on three of them."""

    def loss(self, x, mask, origin=None, progress=1.0, target=None, clock=None):
        return super().loss(x if progress < 0.75 else x[:, :3], mask, origin, progress)


def test_stages_count_by_their_shares_and_what_is_kept_by_the_largest():
    of_all = training_cost(OneConvolution(1, 4, 3), (6, 1, 8, 8))
    staged = training_cost(Staged(1, 4, 3), (6, 1, 8, 8), stages=(0.75,))
    assert staged.flop == pytest.approx((0.75 + 0.25 / 2) * of_all.flop)
    assert staged.saved_bytes == of_all.saved_bytes
