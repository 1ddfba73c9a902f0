import pytest
import torch

from gridcast.modules.convlstm import ConvLSTMModule
from gridcast.modules.forecasting import Contexts
from gridcast.modules.frames import Frames
from gridcast.modules.recurrent import ConvLSTM


def module(**options):
    frames = Frames(None, multiple=options.get("downsampling", 1))
    defaults = {"n_states": 3, "context": 4, "frames": frames}
    return ConvLSTMModule(1, 5, 3, **(defaults | options))


def test_reading_all_frames_equals_reading_one_after_the_other():
    lstm = ConvLSTM(2, 3, 3)
    frames = torch.randn(2, 5, 2, 6, 7)
    hidden, state = lstm.run(frames)
    one = lstm.initial_state(frames)
    for t in range(5):
        one = lstm.step(frames[:, t], one)
        assert torch.allclose(hidden[:, t], one[0], atol=1e-6)
    assert torch.allclose(state[1], one[1], atol=1e-6)


def test_reverse_reads_from_the_end():
    lstm = ConvLSTM(2, 3, 3, reverse=True)
    frames = torch.randn(2, 5, 2, 6, 7)
    lstm.reverse = False
    forward = lstm(frames.flip(1)).flip(1)
    lstm.reverse = True
    assert torch.allclose(lstm(frames), forward)


def test_read_out_is_the_1x1_convolution_of_the_concatenated_states():
    m = module()
    x = torch.randn(2, 6, 1, 6, 7)
    inside, _ = m._run(x, torch.ones_like(x), 1, None, None)
    hidden = m.lstm(x)
    last = [hidden[:, 5], hidden[:, 4], hidden[:, 3]]
    weight, bias = m.readout.weight.unflatten(0, (3, 1)), m.readout.bias.unflatten(0, (3, 1))
    expected = sum(torch.nn.functional.conv2d(h, w, b) for h, w, b in zip(last, weight, bias, strict=True))
    assert torch.allclose(inside[:, 5], expected, atol=1e-6)


@pytest.mark.parametrize("downsampling", [1, 2, 4])
def test_feeding_back_equals_reading_the_forecast_as_an_observation(downsampling):
    m = module(downsampling=downsampling, residual=True)
    with torch.no_grad():
        for parameter in m.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.randn(2, 5, 1, 8, 8)
    ones = torch.ones_like(x)
    two, _ = m.forecast(x, ones, 2)
    longer = torch.cat([x, two[0, :, :1]], dim=1)
    one, _ = m.forecast(longer, torch.ones_like(longer), 1)
    assert torch.allclose(one[0, :, 0], two[0, :, 1], atol=1e-4)


def test_members_of_persistence_are_random_walks():
    m = module(residual=True)
    x = torch.zeros(1, 5, 1, 6, 7)
    loc, scale = m.forecast(x, torch.ones_like(x), 6, 200)
    members = (loc + scale * torch.randn_like(loc)).transpose(0, 2).flatten(1)  # (lead, value)
    steps, exact = torch.arange(1.0, 7.0), m.scale.item()
    torch.testing.assert_close(members.std(1), exact * steps.sqrt(), rtol=0.05, atol=0)
    ratio = steps[:, None] / steps  # of a step to another
    torch.testing.assert_close(torch.corrcoef(members), torch.minimum(ratio, 1 / ratio).sqrt(), rtol=0, atol=0.05)


def test_the_noise_of_the_own_step_stands_apart_where_a_variance_is_asked_for():
    m = module(residual=True)
    x = torch.zeros(1, 5, 1, 6, 7)
    with m.with_noise_apart():
        loc, scale = m.forecast(x, torch.ones_like(x), 6, 200)
    spread = loc.std(0).mean((0, 2, 3, 4))
    assert spread[0] == 0
    torch.testing.assert_close(spread[1:], m.scale.item() * torch.arange(1.0, 6.0).sqrt(), rtol=0.05, atol=0)
    assert (scale == m.scale).all()
    # one step ahead all members are one, and the scale says how wide they are
    _, std = m.predictive(Contexts(x, torch.ones_like(x)))
    torch.testing.assert_close(std, m.scale.expand(std.shape))


@pytest.mark.parametrize("teacher_forcing", [True, False])
def test_the_scale_is_that_of_one_step_errors(teacher_forcing):
    m = module(residual=True, teacher_forcing=teacher_forcing)  # persistence, as it is not trained
    x = (0.02 * torch.randn(16, 9, 1, 6, 7)).cumsum(1)
    optimizer = torch.optim.Adam([m.raw_scale], lr=1e-3)
    for _ in range(300):
        optimizer.zero_grad()
        m.loss(x, torch.ones_like(x))[0].backward()
        optimizer.step()
    assert m.scale.item() == pytest.approx(0.02, rel=0.05)


def test_teacher_forcing_also_trains_inside_the_context():
    x = torch.randn(2, 6, 1, 6, 7)
    with_context, _ = module(residual=True).loss(x, torch.ones_like(x))
    without, _ = module(residual=True, teacher_forcing=False).loss(x, torch.ones_like(x))
    assert not torch.isclose(with_context, without)
