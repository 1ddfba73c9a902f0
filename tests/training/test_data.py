"""What a training sees: windows and held-out forecasts counted by hand, runs, divisions, hindcasts and noise."""

import dataclasses
import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import gridcast as gc
from gridcast.data.grid import unwrap
from gridcast.data.windows import independent
from gridcast.training import data as data_module
from gridcast.training.data import Runs, TrainingData, divide
from gridcast.transformers.scaling import Scaling

FIELD = (1, 2, 3)


def as_series(values):
    """Label (sample, time, y, x)."""
    coords = {"time": pd.date_range("2001-01-01", periods=values.shape[1], freq="D")}
    X = xr.DataArray(values.astype(np.float32), dims=("sample", "time", "y", "x"), coords=coords)
    return X if len(X) > 1 else X[0]


def numbered(n_samples, n_times):
    """Fields that hold their sample and step, (sample, time, y, x)."""
    steps = 1000 * np.arange(n_samples)[:, None] + np.arange(n_times)
    return np.broadcast_to(steps[..., None, None], (*steps.shape, 2, 3)).copy()


def make_data(values, *, window=6, context=3, validation_fraction=0.25, climatology=None, lazy=False):
    """Divide a series whose values are as they are: the transformer changes nothing."""
    X = as_series(values)
    transformer = gc.MinMaxTransformer(feature_range=(0, 1), data_range=(0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # all of it lies outside of that range
        scaling, scaled = Scaling.fit(transformer, climatology, unwrap(X.chunk(time=7) if lazy else X)[0], None)
    windows, held_out = divide(
        scaled.values.shape, window=window, stride=1, context=context, validation_fraction=validation_fraction
    )
    return TrainingData(scaled, scaling, window, context, windows, held_out)


def steps_of(run):
    return run[:, 0, 0, 0].tolist()


def test_windows_and_origins_of_a_single_series_by_hand():
    windows, held = divide((1, 12), window=4, stride=2, context=3, validation_fraction=0.25)
    # steps 9, 10 and 11 are held out; windows begin at 0, 2, 4 and end before 9
    assert windows.tolist() == [[0, 0], [0, 2], [0, 4]]
    assert held.tolist() == [[0, 8], [0, 9], [0, 10]]


def test_windows_and_origins_of_samples_by_hand():
    windows, held = divide((4, 6), window=4, stride=1, context=3, validation_fraction=0.25)
    assert windows.tolist() == [[s, t] for s in range(3) for t in range(3)]
    assert held.tolist() == [[3, 2], [3, 3], [3, 4]]


def test_nothing_is_held_out_unasked():
    for n_samples in (1, 3):
        windows, held = divide((n_samples, 10), window=4, stride=1, context=3, validation_fraction=0)
        assert len(windows) == 7 * n_samples
        assert held.shape == (0, 2)


@given(
    n_samples=st.integers(1, 4),
    n_times=st.integers(10, 60),
    window=st.integers(2, 8),
    stride=st.integers(1, 3),
    context=st.integers(1, 8),
    fraction=st.floats(0, 0.2),
)
def test_no_held_out_step_is_in_a_training_window(n_samples, n_times, window, stride, context, fraction):
    windows, held = divide(
        (n_samples, n_times), window=window, stride=stride, context=context, validation_fraction=fraction
    )
    trained = {(s, t + i) for s, t in windows.tolist() for i in range(window)}
    assert all(0 <= t < n_times for _, t in trained)
    assert not trained & {(s, origin + 1) for s, origin in held.tolist()}
    # each has a whole context before and a truth after it
    assert all(context - 1 <= origin < n_times - 1 for _, origin in held.tolist())
    if n_samples > 1 and round(fraction * n_samples):  # else the end of each
        assert not {s for s, _ in trained} & set(held[:, 0].tolist())


@pytest.mark.parametrize("shape", [(1, 1000), (10, 100)])
def test_held_out_forecasts_tell_epochs_apart_and_are_few_beside_an_epoch(shape):
    _, held = divide(shape, window=8, stride=1, context=4, validation_fraction=0.2)
    # the error of a mean over n of them is 1 / sqrt(n): a fifth, at the price of a twentieth of the windows
    assert 25 <= len(held) <= 50
    assert (held[0, 1], held[-1, 1]) == ((799, 998) if shape[0] == 1 else (3, 98))
    gaps = np.diff(held[:, 0] * shape[1] + held[:, 1])
    assert gaps.max() - gaps.min() <= (1 if shape[0] == 1 else 5)  # evenly spaced; a sample begins with a context


@pytest.mark.parametrize(("n_samples", "n_held", "n_origins"), [(64, 6, 5), (160, 10, 3), (300, 10, 3), (20, 2, 16)])
def test_of_held_out_samples_each_has_the_origin_that_reaches_the_last_lead(n_samples, n_held, n_origins):
    _, held = divide((n_samples, 30), window=12, stride=1, context=10, validation_fraction=0.1)
    origins = [held[held[:, 0] == sample, 1].tolist() for sample in np.unique(held[:, 0])]
    assert [len(each) for each in origins] == [n_origins] * n_held
    assert {(each[0], each[-1]) for each in origins} == {(9, 28)}


def test_a_series_without_room_for_a_window_is_an_error():
    with pytest.raises(ValueError, match=r"validation_fraction=0\.5 leaves 5 for training, shorter than window=6"):
        divide((1, 10), window=6, stride=1, context=3, validation_fraction=0.5)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("n_samples", [1, 4])
def test_a_validation_context_ends_at_its_origin_and_the_truth_comes_next(n_samples, lazy):
    data = make_data(numbered(n_samples, 40), lazy=lazy)
    assert isinstance(data.scaled.values, da.Array) is lazy
    x, mask, clock, truth = data.validation(2)
    assert x.shape == mask.shape == (len(data.held_out), 3, *FIELD)
    assert clock is None
    at = data.held_out @ (1000, 1)
    np.testing.assert_allclose(x[..., 0, 0, 0], at[:, None] + np.arange(-2, 1))
    np.testing.assert_allclose(truth[:, 0, 0, 0, 0], at + 1)
    # the last origin is the step before the last
    np.testing.assert_allclose(truth[:, 1, 0, 0, 0], np.where(at % 1000 == 38, np.nan, at + 2))


@pytest.mark.parametrize(("n_samples", "lengths"), [(1, [30]), (4, [40] * 3)])
def test_a_small_series_is_whole_runs_of_all_its_training_fields(n_samples, lengths):
    runs = make_data(numbered(n_samples, 40)).runs(3)
    assert [len(run) for run in runs] == lengths
    for sample, run in enumerate(runs):
        assert steps_of(run) == list(range(1000 * sample, 1000 * sample + lengths[0]))


@pytest.mark.parametrize("n_samples", [1, 3])
def test_runs_of_a_large_series_are_pieces_within_memory_that_show_all_of_it(monkeypatch, n_samples):
    data = make_data(numbered(n_samples, 700))
    monkeypatch.setattr(data_module, "RUN_CELLS", 256 * int(np.prod(FIELD)))
    runs = data.runs(3)
    assert sum(map(len, runs)) <= 256
    assert len(runs) >= 3  # few pieces would show one season
    assert all(2 / len(run) < 0.05 for run in runs)  # a twentieth at most is lost to two lags
    samples, first, stop = data.part
    for run in runs:
        steps = np.array(steps_of(run))
        assert (np.diff(steps) == 1).all()
        assert first <= steps[0] % 1000
        assert steps[-1] % 1000 < stop
    begins = [steps_of(run)[0] for run in runs]
    assert len(set(begins)) == len(begins)
    assert (begins[0] // 1000, begins[-1] // 1000) == (samples[0], samples[-1])
    assert all(len(run) >= 100 for run in data.runs(100))  # as long as is asked for


def test_gaps_of_runs_hold_the_last_value_and_before_it_the_mean():
    values = numbered(1, 40).astype(float)
    values[0, 5:8, 1, 2] = np.nan
    values[0, :2, 0, 0] = np.nan
    data = make_data(values)
    (run,) = data.runs(3)
    assert run[5:9, 0, 1, 2].tolist() == [4, 4, 4, 8]
    np.testing.assert_allclose(run[:3, 0, 0, 0], [np.arange(2, 40).mean()] * 2 + [2])


@pytest.mark.parametrize("climatology", [None, "mean"])
def test_a_single_series_is_divided_in_time(climatology):
    data = make_data(numbered(1, 40), climatology=climatology)
    earlier, later = data.divided(0.5, 1.0)
    samples, first, stop = earlier.part
    assert (samples.tolist(), first, stop) == ([0], 0, 15)  # half of the 30 that are not held out
    assert later.begins.tolist() == [[0, 12]]  # a context before the first forecast step, 15
    assert later.stop == 30
    if climatology:  # that of the earlier part alone
        np.testing.assert_allclose(earlier.scaling.climatology.cycle_, 7.0)
        np.testing.assert_allclose(data.scaling.climatology.cycle_, 19.5)


@pytest.mark.parametrize(("begin", "n_earlier"), [(0.5, 3), (0.7, 4)])
def test_samples_are_divided_as_samples(begin, n_earlier):
    data = make_data(numbered(8, 20), climatology="mean")
    assert data.part[0].tolist() == list(range(6))
    earlier, later = data.divided(begin, 1.0)
    samples, first, stop = earlier.part
    assert (samples.tolist(), first, stop) == (list(range(n_earlier)), 0, 20)
    assert later.begins.tolist() == [[sample, 0] for sample in range(n_earlier, 6)]
    assert later.stop == 20
    np.testing.assert_allclose(earlier.scaling.climatology.cycle_, 500 * (n_earlier - 1) + 9.5)


def test_the_last_share_may_be_what_is_known():
    series, samples = make_data(numbered(1, 40), climatology="mean"), make_data(numbered(8, 20))
    known, others = series.divided(0.0, 0.5)
    assert known.part[1:] == (15, 30)
    assert (others.begins.tolist(), others.stop) == ([[0, 0]], 15)
    np.testing.assert_allclose(known.scaling.climatology.cycle_, 22.0)
    known, others = samples.divided(0.0, 0.5)
    assert known.part[0].tolist() == [3, 4, 5]
    assert (others.begins.tolist(), others.stop) == ([[0, 0], [1, 0], [2, 0]], 20)


def test_what_lies_in_the_middle_is_left_out_of_windows_runs_and_climatology():
    data = make_data(numbered(1, 80), climatology="mean")
    (whole,) = data.runs(3)
    known, others = data.divided(0.25, 0.5)
    begin, stop = int(others.begins[0, 1]) + 3, others.stop
    assert (begin, stop) == (15, 30)  # a quarter of the 60 that are not held out
    steps = [steps_of(run + np.float32(np.mean(known.scaling.climatology.cycle_))) for run in known.runs(3)]
    assert steps == [list(range(15)), list(range(30, 45)), list(range(45, 60))]  # as long as the shorter side
    assert not ((known.windows[:, 1] < stop) & (known.windows[:, 1] + known.window > begin)).any()
    assert len(whole) == 60
    np.testing.assert_allclose(known.scaling.climatology.cycle_, np.mean([step for run in steps for step in run]))


@pytest.mark.parametrize(("begin", "end"), [(0.25, 0.5), (0.5, 0.75)])
def test_samples_are_left_out_of_the_middle_too(begin, end):
    known, others = make_data(numbered(8, 20), climatology="mean", validation_fraction=0.0).divided(begin, end)
    left = set(range(8)) - {int(sample) for sample, _ in others.begins}
    np.testing.assert_allclose(known.scaling.climatology.cycle_, 1000 * np.mean(list(left)) + 9.5)
    assert known.part[0].tolist() == sorted(left)
    assert len(others.begins) == 2
    assert len(known.runs(3)) == 6


@pytest.mark.parametrize(("n_samples", "n_times", "known"), [(1, 40, 0.1), (1, 40, 0.0), (2, 20, 0.2), (3, 20, 1.0)])
def test_no_part_is_empty(n_samples, n_times, known):
    data = make_data(numbered(n_samples, n_times), validation_fraction=0.25 if n_samples == 1 else 0.0)
    assert data.divided(known, 1.0) is None
    assert data.divided(0.0, 1 - known) is None


@pytest.mark.parametrize("most", [1, 5, 100])
def test_hindcasts_have_contexts_right_before_truths_and_nothing_behind_the_end(most):
    data = make_data(numbered(2, 40), validation_fraction=0.0)
    runs, horizon = Runs(np.array([[0, 10], [1, 20]]), 30), 4
    found = list(data.hindcasts(runs, horizon, most))
    # every origin that has a context and a step after it: 17 of the first run and 7 of the second
    assert len(found) == {1: 1, 5: 6, 100: 24}[most]
    for context, mask, truth, origin in found:
        assert mask.shape == context.shape
        assert context.shape == (1, 3, *FIELD)
        assert truth.shape == (1, horizon, *FIELD)
        (steps, after), last = (steps_of(part[0]) for part in (context, truth)), context[0, -1, 0, 0, 0]
        assert steps == [last - 2, last - 1, last]
        assert origin.tolist() == [[last // 1000, last % 1000]]
        ahead = last + np.arange(1, horizon + 1)
        known = ahead % 1000 < runs.stop
        assert known[0]
        np.testing.assert_array_equal(after, np.where(known, ahead, np.nan))


def test_what_is_held_out_is_judged_against_a_climatology_that_has_not_seen_it(monkeypatch):
    data = make_data(numbered(1, 40), validation_fraction=0.25, climatology="mean")
    last = data.part[2]
    cycle = data.unseen().scaling.climatology.climatology(data.scaled.times[:1])
    np.testing.assert_allclose(cycle, np.arange(last).mean())
    assert data.scaling.climatology.climatology(data.scaled.times[:1]).mean() > cycle.mean()
    # one that stays is that of the forecasts
    settled = dataclasses.replace(data, settled=True)
    assert settled.unseen() is settled
    # a large series is not read again for it
    monkeypatch.setattr(data_module, "RUN_CELLS", 10)
    assert data.unseen() is data


@pytest.mark.parametrize(("n_samples", "fraction", "held"), [(8, 0.25, {6, 7}), (2, 0.8, {1}), (3, 0.9, {1, 2})])
def test_samples_are_held_out_but_for_one_at_least(n_samples, fraction, held):
    data = make_data(numbered(n_samples, 20), validation_fraction=fraction)
    assert set(data.held_out[:, 0]) == held
    assert set(data.windows[:, 0]) == set(range(n_samples)) - held


def test_few_samples_too_short_for_that_hold_out_one():
    windows, held = divide((3, 12), window=12, stride=1, context=6, validation_fraction=0.1)
    assert windows.tolist() == [[0, 0], [1, 0]]
    assert set(held[:, 0]) == {2}


@pytest.mark.parametrize("n_samples", [2, 4])
def test_of_few_samples_the_end_of_each_is_held_out(n_samples):
    """A tenth of four members is no member: those of a large ensemble are long, and each has an end."""
    data = make_data(numbered(n_samples, 40), validation_fraction=0.1)
    assert data.part[0].tolist() == list(range(n_samples))
    assert data.part[2] == 36
    assert set(data.held_out[:, 0]) == set(range(n_samples))
    assert data.held_out[:, 1].min() == 35


def test_forecasts_that_overlap_are_not_independent():
    data = make_data(numbered(1, 40), validation_fraction=0.5)  # origins 19 to 38
    n = independent(data.held_out, 40, 25)
    assert n[0] == 20
    assert n[4] == 1 + 15 / 5  # of 16 origins with five steps after them
    assert n[18] == 1 + 1 / 19
    assert not n[20:].any()
    samples = make_data(numbered(8, 40), validation_fraction=0.5).held_out
    assert independent(samples, 40, 4)[0] == len(samples)
    assert independent(samples, 40, 30)[29] >= 4  # one of each sample at least


def test_bounds_of_the_steps_after_origins_are_those_of_the_anomalies():
    values = np.maximum(numbered(1, 40).astype(float) % 7 - 3, 0)
    data = make_data(values, validation_fraction=0.25)
    low, high = data.bounds(np.array([5, 38]), 4)
    assert low.shape == high.shape == (2, 4, *FIELD)
    scaled = data.scaling.subtract(
        np.zeros((1, 4, *FIELD)) + data.scaling.statistics.low[:, None, None], data.scaled.times[6:10]
    )
    np.testing.assert_allclose(low[0], scaled[0], atol=1e-6)
    assert np.isfinite(low).all()  # beyond the end too


def test_a_series_without_natural_bounds_has_none():
    assert make_data(numbered(1, 400), validation_fraction=0.25).bounds(np.array([5]), 4) is None


def test_gaps_are_filled_in_the_contexts_of_hindcasts_and_stay_in_their_truth():
    values = numbered(1, 40).astype(float)
    values[0, 15] = np.nan
    data = make_data(values, validation_fraction=0.0)
    found = list(data.hindcasts(Runs(np.array([[0, 10]]), 20), 2, 100))
    for context, mask, truth, _ in found:
        assert not np.isnan(context).any()
        # what is filled repeats what was observed before it
        assert ((context[:, :, 0, 0, 0] == 15) <= (mask[:, :, 0, 0, 0] == 0)).all()
        assert 15 not in truth[:, :, 0, 0, 0]
    assert sum(np.isnan(truth[0, 0]).all() for _, _, truth, _ in found) == 1


def test_noise_has_the_level_of_the_changes_and_comes_to_a_quarter_of_the_windows():
    """A series that moves by 3 at every step."""
    values = 3.0 * np.where(np.arange(60) % 2, 1, 0)[None, :, None, None] * np.ones((1, 60, 2, 3))
    data = make_data(values + 100.0 * np.arange(6).reshape(2, 3))
    noise = data.noise(2.0)
    np.testing.assert_allclose(noise.high, 2.0 * 3.0)
    assert noise.low.shape == (1, 1, 1)
    assert (noise.low < 0.1 * noise.high).all()
    rng, x = np.random.default_rng(0), np.full((4, *FIELD), 150.0, np.float32)
    noisy = np.mean([noise.add(x, rng) is not x for _ in range(2000)])
    assert noisy == pytest.approx(0.25, abs=0.05)


def test_noise_does_not_leave_natural_bounds_and_a_series_at_rest_has_next_to_none():
    rain = np.maximum(np.random.default_rng(0).normal(size=(1, 60, 2, 3)), 0)
    noise = make_data(rain).noise(5.0)
    rng = np.random.default_rng(0)
    dry = np.stack([noise.add(np.zeros((4, *FIELD), np.float32), rng) for _ in range(50)])
    assert dry.min() == 0
    assert dry.max() > 0
    still = make_data(np.ones((1, 60, 2, 3))).noise(5.0)
    assert 0 < float(still.low.min()) < float(still.high.max()) < 1e-4


def test_where_no_two_steps_follow_each_other_there_is_no_noise():
    x = np.random.default_rng(0).normal(size=(1, 60, 2, 3))
    x[:, ::2] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise = make_data(x).noise(2.0)
    assert np.isfinite(noise.high).all()
    assert noise.high.max() < 1e-4
