"""The deep transition's network: where it starts, how far it sees, and that it is the same everywhere on a torus."""

import pytest
import torch

from gridcast.modules.deep import DeepTransition


def network(n_hidden=8, *, downsampling=2, **options):
    """Three fields in, one channel of changes out, on blocks of 2 x 2 cells."""
    return DeepTransition(3, n_hidden, downsampling**2, 1, 3, 2, downsampling=downsampling, **options)


def moved(**options):
    """A network whose weights have left their start."""
    made = network(**options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def clock(n=2, n_clock=0, size=(3, 5)):
    return torch.randn(n, n_clock, *size)


@pytest.mark.parametrize("n_hidden", [8, 6])  # with groups of channels, and without
@pytest.mark.parametrize("downsampling", [1, 2, 4])
def test_untrained_nothing_changes_and_the_scale_is_one(n_hidden, downsampling):
    untrained = network(n_hidden, downsampling=downsampling, n_location=2, n_clock=4)
    fields = torch.randn(2, 3, 3 * downsampling, 5 * downsampling)
    change, scale = untrained(fields, clock(n_clock=4), torch.randn(2, 2, 3, 5))
    assert change.shape == (2, 1, *fields.shape[2:])
    assert not change.any()
    assert scale.shape == (2, downsampling**2, 3, 5)
    torch.testing.assert_close(scale, torch.ones_like(scale))


def test_the_likelihood_reaches_the_head_of_the_scale_alone():
    made = moved()
    made(torch.randn(2, 3, 6, 10), clock())[1].sum().backward()
    assert made.scale.weight.grad.abs().sum() > 0
    assert all(p.grad is None for name, p in made.named_parameters() if not name.startswith("scale"))


def test_the_first_step_of_a_training_reaches_the_head_of_the_change():
    made = network()
    (made(torch.randn(2, 3, 6, 10), clock())[0] - 1).square().sum().backward()
    assert made.change.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("what", ["clock", "location"])
def test_what_is_known_beside_the_fields_matters(what):
    made, fields = moved(n_location=2, n_clock=2), torch.randn(1, 3, 6, 10)
    known = {"clock": clock(1, 2), "location": torch.randn(1, 2, 3, 5)}
    before = made(fields, **known)[0]
    after = made(fields, **known | {what: known[what] + 1})[0]
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("downsampling", [2, 4])
def test_on_a_torus_it_commutes_with_a_turn_by_blocks_both_ways(downsampling):
    made = moved(downsampling=downsampling, periodic=(True, True))
    fields, turn = torch.randn(2, 3, 6 * downsampling, 8 * downsampling), (2, 3)
    cells = tuple(n * downsampling for n in turn)
    (change, scale), (turned, turned_scale) = (
        made(f, clock(size=(6, 8))) for f in (fields, fields.roll(cells, (-2, -1)))
    )
    torch.testing.assert_close(turned, change.roll(cells, (-2, -1)))
    torch.testing.assert_close(turned_scale, scale.roll(turn, (-2, -1)))


def test_a_scale_is_never_zero():
    assert float(moved()(1e3 * torch.randn(2, 3, 6, 10), clock())[1].detach().min()) > 0
