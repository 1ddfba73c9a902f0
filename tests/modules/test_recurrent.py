"""Recurrences: their direction, their steps and what each state knows."""

import pytest
import torch

from gridcast.modules.recurrent import ConvLSTM, DenseLSTM


def moved(module):
    """Move the initial states off zero, so that they have a say."""
    with torch.no_grad():
        module.hidden_init.normal_()
        module.cell_init.normal_()
    return module


def pair(make):
    """Return a forward and a backward recurrence with the same weights."""
    forward, backward = moved(make(reverse=False)), make(reverse=True)
    backward.load_state_dict(forward.state_dict())
    return forward, backward


def conv(**options):
    return ConvLSTM(2, 3, 3, **options)


def dense(**options):
    return DenseLSTM(4, 3, **options)


CASES = [(conv, (2, 5, 2, 4, 6)), (dense, (2, 5, 4))]


@pytest.mark.parametrize(("make", "shape"), CASES)
def test_a_reversed_recurrence_on_reversed_frames_is_a_forward_one(make, shape):
    forward, backward = pair(make)
    frames = torch.randn(shape)
    torch.testing.assert_close(backward(frames.flip(1)).flip(1), forward(frames))


@pytest.mark.parametrize(("make", "shape"), CASES)
def test_states_know_what_came_before_them_or_after_them(make, shape):
    frames = torch.randn(shape)
    other = frames.clone()
    other[:, 2] += 1.0
    for module, unchanged in zip(pair(make), (slice(0, 2), slice(3, 5)), strict=True):
        changed = (module(frames) != module(other)).flatten(2).any(2).any(0)
        assert not changed[unchanged].any()
        assert changed.sum() == 3


@pytest.mark.parametrize("state_shape", [(1, 1), (4, 6)])
@pytest.mark.parametrize("n_location", [0, 2])
def test_step_by_step_equals_a_run(state_shape, n_location):
    module = moved(conv(state_shape=state_shape, n_location=n_location, periodic=(False, True)))
    frames, location = torch.randn(2, 5, 2, 4, 6), torch.randn(2, n_location, 4, 6) if n_location else None
    hidden, last = module.run(frames, location)
    assert hidden.shape == (2, 5, 3, 4, 6)
    state = module.initial_state(frames)
    for t in range(5):
        state = module.step(frames[:, t], state, location)
        torch.testing.assert_close(state[0], hidden[:, t])
    torch.testing.assert_close(state, last)


def test_a_convlstm_of_one_cell_is_the_lstm_of_torch():
    ours = moved(ConvLSTM(4, 3, 1))
    theirs = torch.nn.LSTMCell(4, 3)
    order = [0, 1, 3, 2]  # ours are i, f, o, g; torch has i, f, g, o
    with torch.no_grad():
        for weight, gates in [
            (theirs.weight_ih, ours.input.conv.weight[..., 0, 0]),
            (theirs.weight_hh, ours.state.weight[..., 0, 0]),
            (theirs.bias_ih, ours.input.conv.bias),
        ]:
            weight.copy_(gates.unflatten(0, (4, 3))[order].flatten(0, 1))
        theirs.bias_hh.zero_()
    frames = torch.randn(2, 5, 4)
    state = tuple(s.flatten(1) for s in ours.initial_state(frames[..., None, None]))
    hidden = ours(frames[..., None, None])[..., 0, 0]
    for t in range(5):
        state = theirs(frames[:, t], state)
        torch.testing.assert_close(hidden[:, t], state[0])
