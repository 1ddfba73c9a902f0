"""Window counts and splits: the paper's numbers, and properties for any series."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st
from seasonal import make_series
from sklearn.model_selection import GridSearchCV, KFold

import gridcast as gc
from gridcast import WindowSplitter


def test_the_papers_windows():
    splitter = WindowSplitter(window=30, test_fraction=0.3)
    ((train, test),) = splitter.split(np.empty((2774, 0)))
    starts = splitter.windows(len(train)), splitter.windows(len(test)) + test[0]
    assert [len(part) for part in starts] == [1901, 815]
    assert (starts[0][0], starts[0][-1]) == (0, 1900)
    assert (starts[1][0], starts[1][-1]) == (1930, 2744)
    assert not set(train) & set(test)
    assert starts[0][-1] + 29 < starts[1][0]


def test_windows_by_hand():
    assert WindowSplitter(window=3).windows(5).tolist() == [0, 1, 2]
    assert WindowSplitter(window=3, stride=2).windows(6).tolist() == [0, 2]
    assert WindowSplitter(window=5).windows(5).tolist() == [0]


def test_splits_by_hand():
    parts = [(len(train), test.tolist()) for train, test in WindowSplitter(2, n_splits=2).split(np.zeros((12, 1)))]
    assert parts == [(8, [8, 9]), (10, [10, 11])]


@given(st.integers(1, 400), st.integers(1, 40), st.integers(1, 9))
def test_every_window_fits_and_none_is_left_out(n_times, window, stride):
    assume(window <= n_times)
    starts = WindowSplitter(window, stride).windows(n_times)
    assert starts[0] == 0
    assert (np.diff(starts) == stride).all()
    assert starts[-1] + window <= n_times < starts[-1] + window + stride


@given(st.integers(10, 500), st.integers(1, 40), st.integers(1, 5), st.floats(0.05, 0.95))
def test_no_window_of_one_part_shares_a_step_with_the_other(n_times, window, n_splits, test_fraction):
    splitter = WindowSplitter(window, n_splits=n_splits, test_fraction=test_fraction)
    try:
        parts = list(splitter.split(np.empty((n_times, 0))))
    except ValueError:
        assume(False)
    assert len(parts) == splitter.get_n_splits() == n_splits
    for train, test in parts:
        assert train[0] == 0
        assert train[-1] + 1 == test[0]
        assert (np.diff(train) == 1).all()
        assert (np.diff(test) == 1).all()
        last_train = splitter.windows(len(train))[-1] + window - 1
        first_test = test[0] + splitter.windows(len(test))[0]
        assert last_train < first_test
    tests = np.concatenate([test for _, test in parts])
    np.testing.assert_array_equal(tests, np.arange(tests[0], n_times))


@given(st.integers(100, 3000), st.integers(1, 40), st.floats(0.1, 0.9))
def test_the_shares_of_the_windows_are_as_asked(n_times, window, test_fraction):
    splitter = WindowSplitter(window, test_fraction=test_fraction)
    try:
        ((train, test),) = splitter.split(np.empty((n_times, 0)))
    except ValueError:
        assume(False)
    n_train, n_test = (len(splitter.windows(len(part))) for part in (train, test))
    assert n_train + n_test == n_times - 2 * (window - 1)
    assert abs(n_test - test_fraction * (n_train + n_test)) <= 1


def test_samples_are_split_not_their_steps():
    X = xr.DataArray(np.zeros((10, 5, 2, 2)), dims=("sample", "time", "y", "x"))
    ((train, test),) = WindowSplitter(window=30, test_fraction=0.3).split(X)
    assert (train.tolist(), test.tolist()) == (list(range(7)), [7, 8, 9])


def test_splitting_looks_at_no_values():
    class Shape:
        dims = ("time",)

        def __len__(self):
            return 50

    assert len(list(WindowSplitter(5, n_splits=3).split(Shape()))) == 3


@pytest.mark.parametrize("name", ["window", "stride", "n_splits"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None])
def test_bad_numbers(name, value):
    splitter = WindowSplitter(**{name: value})
    with pytest.raises(ValueError, match=rf"{name}={value!r} must be an integer of at least 1"):
        next(splitter.split(np.zeros((100, 1))))
    with pytest.raises(ValueError, match=f"{name}="):
        splitter.windows(100)


@pytest.mark.parametrize("value", [0, 1, -0.5, 2])
def test_bad_fractions(value):
    with pytest.raises(ValueError, match=rf"test_fraction={value} must lie between 0 and 1"):
        next(WindowSplitter(test_fraction=value).split(np.zeros((100, 1))))


def test_series_that_are_too_short():
    with pytest.raises(ValueError, match=r"X has 29 steps, shorter than one window of window=30.*at most 29"):
        WindowSplitter(window=30).windows(29)
    with pytest.raises(
        ValueError, match=r"X has 60 steps: n_splits=5, test_fraction=0\.3, .* leave a part of \d steps.*30"
    ):
        next(WindowSplitter(window=30, n_splits=5).split(np.zeros((60, 1))))
    with pytest.raises(ValueError, match=r"X has 1 entries.*too few"):
        next(WindowSplitter(window=1).split(np.zeros((1, 1))))


def test_repr():
    assert repr(WindowSplitter(5, n_splits=2)) == (
        "WindowSplitter(window=5, stride=1, n_splits=2, test_fraction=0.3, train_steps=None, gap=0)"
    )


@pytest.fixture
def series():
    return make_series()


@pytest.mark.parametrize("lazy", [False, True])
def test_train_test_split_cuts_in_time(series, lazy):
    X = series.chunk(time=7) if lazy else series
    train, test = gc.train_test_split(X, test_fraction=0.3)
    assert train.sizes["time"] == 42
    xr.testing.assert_identical(xr.concat([train, test], "time"), X)
    assert (train.chunks is not None) == lazy
    if not lazy:
        assert np.shares_memory(train.values, series.values)


def test_train_test_split_takes_arrays_and_samples(series):
    train, test = gc.train_test_split(series.values, 0.5)
    assert isinstance(train, np.ndarray)
    assert (len(train), len(test)) == (30, 30)
    samples = series.expand_dims(sample=10)
    train, test = gc.train_test_split(samples)
    assert (train.sizes["sample"], test.sizes["sample"]) == (7, 3)


@pytest.mark.parametrize("test_fraction", [0, 1, -0.1, 1.5])
def test_train_test_split_needs_a_share(series, test_fraction):
    with pytest.raises(ValueError, match=f"test_fraction={test_fraction} must lie between 0 and 1"):
        gc.train_test_split(series, test_fraction)
    with pytest.raises(ValueError, match=r"X has 2 steps, test_fraction=0\.01 leaves an empty part"):
        gc.train_test_split(series[:2], 0.01)


def test_a_rolling_window_and_a_gap_by_hand():
    splitter = WindowSplitter(window=2, n_splits=2, test_fraction=0.5, train_steps=4, gap=1)
    parts = [(train.tolist(), test.tolist()) for train, test in splitter.split(np.zeros((18, 2, 2)))]
    assert parts == [([4, 5, 6, 7], [9, 10, 11, 12]), ([8, 9, 10, 11], [13, 14, 15, 16, 17])]


@pytest.mark.parametrize(("name", "value"), [("train_steps", 1), ("gap", 8), ("gap", -1), ("train_steps", 2.5)])
def test_a_training_part_that_is_too_short_is_refused(name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        list(WindowSplitter(window=2, test_fraction=0.5, **{name: value}).split(np.zeros((18, 2, 2))))


def test_a_series_whose_time_does_not_come_first_is_refused(series):
    turned = series.transpose(*series.dims[1:], "time")
    for split in (gc.train_test_split, lambda X: next(WindowSplitter(window=2).split(X))):
        with pytest.raises(ValueError, match=r"'time' comes first: X.transpose\('time', ...\)"):
            split(turned)
        with pytest.raises(ValueError, match=r"none is named 'time': rename it"):
            split(series.rename(time="valid_time"))
        split(turned.transpose("time", ...))


@pytest.mark.parametrize("cv", [KFold(2), KFold(3), KFold(2, shuffle=True, random_state=0)])
@pytest.mark.parametrize("scoring", [None, gc.make_scorer("mae")])
def test_a_search_that_mixes_up_time_ends_in_the_splitter_to_use(series, cv, scoring):
    search = GridSearchCV(
        gc.NaiveForecaster(), {"strategy": ["persistence"]}, cv=cv, scoring=scoring, error_score="raise"
    )
    with pytest.raises(ValueError, match=r"gridcast.WindowSplitter, which keeps time in order"):
        search.fit(series)
    assert np.isfinite(search.set_params(cv=WindowSplitter(window=5)).fit(series).best_score_)
