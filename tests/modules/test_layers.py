import pytest
import torch

from gridcast.modules.layers import GridConv2d, GridConvTranspose2d, LocatedConv2d, go_around, softplus_inverse


@pytest.mark.parametrize(
    ("layer", "scale"),
    [
        (GridConv2d(2, 3, 3, periodic=(False, True)), 1),
        (GridConv2d(2, 3, 3, stride=2, periodic=(False, True)), 0.5),
        (GridConvTranspose2d(2, 3, periodic=(False, True)), 2),
    ],
)
def test_periodic_layers_commute_with_a_turn_around_the_globe(layer, scale):
    x = torch.randn(1, 2, 6, 8)
    turned = layer(x.roll(4, -1))
    assert torch.allclose(turned, layer(x).roll(int(4 * scale), -1), atol=1e-6)
    go_around(layer, False)
    assert not torch.allclose(layer(x), turned.roll(-int(4 * scale), -1), atol=1e-3)


@pytest.mark.parametrize(
    ("layer", "scale"),
    [(GridConv2d(2, 3, 3, periodic=(True, True)), 1), (GridConvTranspose2d(2, 3, periodic=(True, True)), 2)],
)
def test_layers_on_a_torus_commute_with_a_turn_both_ways(layer, scale):
    x = torch.randn(1, 2, 6, 8)
    turned = layer(x.roll((2, 3), (-2, -1)))
    assert torch.allclose(turned, layer(x).roll((2 * scale, 3 * scale), (-2, -1)), atol=1e-6)
    go_around(layer, False)
    plain = type(layer)(2, 3, *([3] if scale == 1 else []))
    plain.load_state_dict(layer.state_dict())
    assert torch.allclose(layer(x), plain(x), atol=1e-6)  # a patch: zeros on all sides


@pytest.mark.parametrize("periodic", [(False, True), (True, True), (False, False)])
def test_inside_periodic_and_bounded_layers_are_the_same(periodic):
    layer = GridConvTranspose2d(2, 3, periodic=periodic)
    plain = torch.nn.functional.conv_transpose2d(x := torch.randn(1, 2, 6, 8), layer.weight, layer.bias, 2, 1)
    assert layer(x).shape == (1, 3, 12, 16)
    assert torch.allclose(layer(x)[..., 2:-2, 2:-2], plain[..., 2:-2, 2:-2], atol=1e-6)


def test_located_convolution_equals_one_over_data_and_location_together():
    layer = LocatedConv2d(2, 3, 3, n_location=4)
    z, location = torch.randn(6, 2, 5, 5), torch.randn(2, 4, 5, 5)
    repeated = location.repeat_interleave(3, 0)
    weight = torch.cat([layer.conv.weight, layer.location.weight], 1)
    expected = torch.nn.functional.conv2d(torch.cat([z, repeated], 1), weight, layer.conv.bias, padding=1)
    assert torch.allclose(layer(z, location), expected, atol=1e-5)
    assert torch.allclose(layer(z, location[:1]), layer(z, location[:1].expand(6, -1, -1, -1)), atol=1e-5)


def test_softplus_inverse():
    assert torch.nn.functional.softplus(torch.tensor(softplus_inverse(0.05))).item() == pytest.approx(0.05)
