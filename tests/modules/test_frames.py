"""Padding, cropping and the constant channels of a grid and of its patches."""

import pytest
import torch

from gridcast.modules.frames import Frames

SIZES = [(25, 53), (8, 12), (1, 3), (4, 5), (2, 2), (4, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("multiple", [1, 2, 4])
@pytest.mark.parametrize("periodic", [(False, True), (True, True), (False, False)])
def test_cropping_undoes_padding(size, multiple, periodic):
    frames = Frames(None, multiple=multiple, periodic=periodic)
    x = torch.randn(2, 3, 1, *size)
    padded = frames.pad(x)
    assert [n % multiple for n in padded.shape[-2:]] == [0, 0]
    assert all(0 <= n - own < multiple for n, own in zip(padded.shape[-2:], size, strict=True))
    assert torch.equal(frames.crop(padded, size), x)
    mask = frames.pad_mask(torch.ones_like(x))
    assert mask.shape == padded.shape
    assert torch.equal(frames.crop(mask, size), torch.ones_like(x))
    assert mask.sum() == x.numel()  # nothing in the padding counts


def test_columns_beyond_a_periodic_grid_are_those_of_the_other_side_and_else_the_last_one():
    x = torch.arange(15.0).reshape(1, 3, 5)
    around = Frames(None, multiple=4, periodic=(False, True)).pad(x)
    assert torch.equal(around[:, :3, 5:], x[..., :3])
    bounded = Frames(None, multiple=4).pad(x)
    assert torch.equal(bounded[:, :3, 5:], x[..., -1:].expand(-1, -1, 3))
    for padded in (around, bounded):  # no row borders on the pole's other side
        assert torch.equal(padded[:, 3], padded[:, 2])


def test_a_patch_sees_the_constant_channels_of_its_place():
    static = torch.randn(3, 12, 16)
    frames = Frames(static, multiple=4)
    whole = frames.static_of(None, (12, 16))
    assert torch.equal(whole, static[None])
    patches = frames.static_of(torch.tensor([[4, 8], [0, 4]]), (8, 8))
    assert torch.equal(patches[0], static[:, 4:12, 8:16])
    assert torch.equal(patches[1], static[:, 0:8, 4:12])
    assert Frames(None).static_of(None, (12, 16)) is None


def test_constant_channels_are_padded_as_the_frames_are():
    static = torch.randn(2, 5, 7)
    frames = Frames(static, multiple=4, periodic=(False, True))
    assert torch.equal(frames.static_of(None, (5, 7)), frames.pad(static)[None])


@pytest.mark.parametrize("observed_channels", [True, False])
@pytest.mark.parametrize("n_given", [0, 1, 2])
@pytest.mark.parametrize("batch_of_static", [1, 2])
def test_an_encoder_sees_as_many_channels_as_it_was_told(observed_channels, n_given, batch_of_static):
    frames = Frames(torch.randn(3, 4, 6), observed_channels=observed_channels, n_given=n_given)
    x, mask, static = torch.randn(2, 5, 2, 4, 6), torch.ones(2, 5, 2, 4, 6), torch.randn(batch_of_static, 3, 4, 6)
    seen = frames.inputs(x, mask, static)
    assert seen.shape == (2, 5, frames.n_inputs(2), 4, 6)
    assert torch.equal(seen[:, :, :2], x)
    if observed_channels:
        assert torch.equal(seen[:, :, 2:4], mask)
    for t in range(5 if n_given else 0):  # the last ones, at every step
        assert torch.equal(seen[:, t, -n_given:], static[:, -n_given:].expand(2, -1, -1, -1))
