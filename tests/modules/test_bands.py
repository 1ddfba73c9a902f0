"""Bands of rows: the values of the whole field."""

import pytest
import torch

from gridcast.modules import bands
from gridcast.modules.bands import in_bands
from gridcast.modules.deep import DeepTransition

N_BLOCKS = 200


@pytest.fixture(params=[(False, False), (True, False), (True, True)], ids=str)
def network(request):
    torch.manual_seed(0)
    network = DeepTransition(
        2, 16, 16, 1, 3, 1, downsampling=4, n_location=2, n_clock=2, local=True, periodic=request.param
    ).requires_grad_(False)
    for weights in network.parameters():
        weights += 0.1 * torch.randn_like(weights)
    return network


def inputs():
    generator = torch.Generator().manual_seed(1)
    sizes = (2, 4 * N_BLOCKS, 8), (2, N_BLOCKS, 2), (2, N_BLOCKS, 2)
    return [torch.randn(1, *size, generator=generator) for size in sizes]


def test_bands_give_the_values_of_the_whole_field(network, monkeypatch):
    with torch.no_grad():
        whole = network(*inputs())
    monkeypatch.setattr(bands, "CELLS", 1000)
    seen = []
    counted = lambda *given: (seen.append(given[0].shape[-2]), network(*given))[1]  # noqa: E731
    with torch.no_grad():
        found = in_bands(counted, inputs(), N_BLOCKS, network.reach, network.around)
    assert len(seen) == N_BLOCKS // (8 * network.reach) == 5
    assert max(seen) <= 4 * (N_BLOCKS / 5 + 2 * network.reach)
    for part, expected in zip(found, whole, strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-5, atol=1e-5)


def test_the_reach_is_as_far_as_a_place_sees(network):
    first, clock, location = inputs()
    changed = first.clone()
    changed[..., 400:404, :] += 100.0
    before, after = (network(x, clock, location) for x in (first, changed))
    rows = [
        (b - a).abs().amax((0, 1, 3)).unflatten(0, (N_BLOCKS, -1)).amax(1) for b, a in zip(before, after, strict=True)
    ]
    moved = torch.stack(rows).amax(0).nonzero().flatten() - 100
    assert moved.abs().max() <= network.reach
    assert moved.abs().max() >= network.reach - 1


def test_small_fields_and_trainings_are_whole(network, monkeypatch):
    calls = []
    counted = lambda *given: (calls.append(1), network(*given))[1]  # noqa: E731
    in_bands(counted, inputs(), N_BLOCKS, network.reach, network.around)
    monkeypatch.setattr(bands, "CELLS", 1000)
    network.requires_grad_(True)
    in_bands(counted, inputs(), N_BLOCKS, network.reach, network.around)
    with torch.no_grad():
        in_bands(counted, inputs(), N_BLOCKS, network.reach, network.around)
    assert len(calls) == 1 + 1 + 5


def test_what_is_not_given_stays_so(monkeypatch):
    monkeypatch.setattr(bands, "CELLS", 100)
    with torch.no_grad():
        (found,) = in_bands(lambda x, none: (x if none is None else None,), (inputs()[0], None), N_BLOCKS, 1, False)
    torch.testing.assert_close(found, inputs()[0])
    with pytest.raises(ValueError, match="the first tells how large"):
        in_bands(lambda x: (x,), (None,), N_BLOCKS, 1, False)
