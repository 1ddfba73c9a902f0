"""Convolutional parts: shapes on any grid, turns around the globe, and where they start."""

import pytest
import torch

from gridcast.modules.convolutional import (
    EMISSION_FLOOR,
    ConvCombiner,
    ConvEmitter,
    ConvEncoder,
    ConvLocator,
    ConvTransition,
    Upsampler,
)

DOWNSAMPLINGS = [1, 2, 4]


@pytest.mark.parametrize("downsampling", DOWNSAMPLINGS)
@pytest.mark.parametrize("blocks", [(1, 1), (2, 5), (7, 3)])
@pytest.mark.parametrize("periodic", [(False, True), (True, True), (False, False)])
def test_every_part_has_its_shape_on_any_grid(downsampling, blocks, periodic):
    size = tuple(downsampling * n for n in blocks)
    place = ConvLocator(5, 3, downsampling=downsampling)(torch.randn(2, 5, *size))
    features = ConvEncoder(2, (4, 6), 3, downsampling=downsampling, periodic=periodic)(torch.randn(2, 2, *size))
    assert place.shape == (2, 3, *blocks)
    assert features.shape == (2, 6, *blocks)
    z = torch.randn(2, 4, *blocks)
    upsampler = Upsampler((6, 4), 2, 3, downsampling=downsampling, periodic=periodic)
    parts = {
        (2, 4, *blocks): [
            ConvCombiner(4, 6, 4, 3, periodic=periodic)(z, features, None, None),
            ConvTransition(4, 6, 4, 3, periodic=periodic)(z),
        ],
        (2, 2, *size): [ConvEmitter(4, upsampler, 3, periodic=periodic)(z)],
    }
    for shape, pairs in parts.items():
        for loc, scale in pairs:
            assert loc.shape == scale.shape == shape
            assert float(scale.detach().min()) > 0


@pytest.mark.parametrize("downsampling", DOWNSAMPLINGS)
def test_parts_on_a_periodic_grid_turn_with_their_input(downsampling):
    encoder = ConvEncoder(2, (4, 6), 3, downsampling=downsampling, periodic=(False, True))
    x = torch.randn(1, 2, 8, 16)
    torch.testing.assert_close(encoder(x.roll(4, -1)), encoder(x).roll(4 // downsampling, -1))
    upsampler = Upsampler((6, 4), 2, 3, downsampling=downsampling, periodic=(False, True))
    z = torch.randn(1, 6, 4, 8)
    for turned, part in zip(upsampler(z.roll(1, -1)), upsampler(z), strict=True):
        torch.testing.assert_close(turned, part.roll(downsampling, -1))
    bounded = ConvEncoder(2, (4, 6), 3, downsampling=downsampling)
    bounded.load_state_dict(encoder.state_dict())
    assert not torch.allclose(bounded(x.roll(4, -1)), bounded(x).roll(4 // downsampling, -1), atol=1e-3)


@pytest.mark.parametrize("downsampling", DOWNSAMPLINGS)
@pytest.mark.parametrize("head", ["linear", "tanh"])
def test_an_upsampler_starts_as_zero_and_its_last_layer_learns(downsampling, head):
    upsampler = Upsampler((6, 4), 2, 3, downsampling=downsampling, head=head)
    upsampler.start_as_zero(0.3)
    loc, scale = upsampler(torch.randn(3, 6, 4, 5))
    assert not loc.any()
    torch.testing.assert_close(scale, torch.full_like(scale, 0.3 + EMISSION_FLOOR))
    (loc - 1).square().sum().backward()
    assert upsampler.heads.weight.grad.abs().sum() > 0


def test_a_tanh_head_stays_within_the_scaled_data():
    upsampler = Upsampler((6, 4), 2, 3, downsampling=4, head="tanh")
    loc, _ = upsampler(1e3 * torch.randn(3, 6, 4, 5))
    assert float(loc.detach().abs().max()) <= 1


@pytest.mark.parametrize(("bias", "part"), [(-40.0, "linear"), (40.0, "jump")])
def test_the_gate_chooses_between_the_linear_map_and_the_jump(bias, part):
    transition = ConvTransition(4, 6, 4, 3)
    with torch.no_grad():
        transition.gate_out.weight.zero_()
        transition.gate_out.bias.fill_(bias)
    z = torch.randn(2, 4, 3, 5)
    expected = transition.linear(z) if part == "linear" else transition.jump_out(transition.jump_in(z).relu())
    torch.testing.assert_close(transition(z)[0], expected)


def test_a_locator_keeps_the_place_in_a_block():
    locator = ConvLocator(1, 3, downsampling=2)
    static = torch.zeros(1, 1, 4, 6)
    nothing = locator(static)
    seen = []
    for row, column in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        here = static.clone()
        here[..., 2 + row, 4 + column] = 1.0
        added = locator(here) - nothing
        assert set(map(tuple, added.nonzero()[:, 2:].tolist())) == {(1, 2)}  # that block alone
        seen.append(added[0, :, 1, 2])
    assert all(not torch.allclose(a, b) for i, a in enumerate(seen) for b in seen[:i])
