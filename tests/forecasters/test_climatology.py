"""Which mean cycle "auto" takes: made series whose cycle is known."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from archives import lazy
from small import SMALL, small

import gridcast as gc
from gridcast.data.grid import unwrap
from gridcast.forecasters import climatology as climatology_module
from gridcast.forecasters.climatology import ClimatologyChoice, candidates
from gridcast.training.data import divide


def make_series(n_times, freq, amplitude, period, *, seed=0, memory=0.8, shape=(8, 8), n_samples=None):
    """Weather, alike over blocks of 4 x 4 cells, around a cycle of `amplitude` times its standard deviation."""
    rng = np.random.default_rng(seed)
    lead = () if n_samples is None else (n_samples,)
    blocks, path = rng.normal(size=(*lead, shape[0] // 4, shape[1] // 4)), []
    for _ in range(n_times):
        blocks = memory * blocks + np.sqrt(1 - memory**2) * rng.normal(size=blocks.shape)
        path.append(np.kron(blocks, np.ones((4, 4))))
    values = np.stack(path, axis=-3) + 0.3 * rng.normal(size=(*lead, n_times, *shape))
    values += amplitude * np.sin(2 * np.pi * np.arange(n_times) / period)[:, None, None]
    return xr.DataArray(
        (280 + values).astype(np.float32),
        dims=(*(["sample"] if lead else []), "time", "y", "x"),
        coords={"time": pd.date_range("2001-01-01", periods=n_times, freq=freq)},
    )


def months(n_years, amplitude, **options):
    return make_series(12 * n_years, "MS", amplitude, 12, memory=0.5, **options)


def hours(n_days, amplitude, **options):
    return make_series(24 * n_days, "h", amplitude, 24, **options)


def fit(series, **parameters):
    return small("linear", **parameters).fit(series)


def chosen(model):
    table = model.climatology_
    (name,) = table.index[table["chosen"]]
    anomaly = model.scaling_.climatology
    assert name.startswith("mean" if anomaly.period_ == 1 else f"{anomaly.period_}, {anomaly.n_harmonics} harmonic")
    return name


@pytest.mark.parametrize("seed", range(3))
def test_a_year_is_not_learned_from_weather(seed):
    model = fit(months(2, 0.0, seed=seed, shape=(16, 16)))
    assert chosen(model) == "mean"
    assert model.climatology_.index.tolist() == ["mean", "year, 1 harmonic", "year, 3 harmonics"]
    assert model.climatology_["error"].notna().all()


@pytest.mark.parametrize("seed", range(3))
def test_a_strong_year_is_learned_from_three(seed):
    model = fit(months(3, 5.0, seed=seed))
    assert chosen(model).startswith("year")
    errors = model.climatology_["error"]
    assert errors["mean"] == 1
    assert errors.min() < 0.8


@pytest.mark.parametrize(("amplitude", "period"), [(1.5, "day"), (0.0, "mean")])
@pytest.mark.parametrize("seed", range(2))
def test_a_day_is_learned_from_three_weeks_where_there_is_one(seed, amplitude, period):
    assert chosen(fit(hours(21, amplitude, seed=seed))).startswith(period)


def test_an_odd_last_quarter_does_not_take_the_day_away():
    """Three weeks of hours with a strong day, of which the last one is overcast."""
    series = hours(21, 2.0)
    calm = hours(21, 0.0)
    overcast = xr.where(series.time < series.time[16 * 24], series, calm).transpose("time", "y", "x")
    assert chosen(fit(overcast)).startswith("day")


def test_what_is_chosen_forecasts_better_than_what_is_not():
    series = months(6, 5.0)
    train, test = series[:48], series[48:]
    auto, mean = (gc.backtest(fit(train, climatology=c), test, 6) for c in ("auto", "mean"))
    truth = np.stack([test.values[i + 1 : i + 7] for i in test.indexes["time"].get_indexer(auto.init_time.values)])
    assert np.square(auto.values - truth).mean() < 0.9 * np.square(mean.values - truth).mean()


def test_a_single_year_has_no_year_and_a_few_steps_have_the_mean():
    assert chosen(fit(months(1, 5.0))) == "mean"
    for n_times in (4, 5, 7, 9):
        assert chosen(fit(months(1, 5.0)[:n_times])) == "mean"
    day_alone = fit(make_series(365 * 4, "6h", 1.0, 4, shape=(4, 4)))
    assert chosen(day_alone) == "day, 3 harmonics"  # of 365 days that is safe; the year can not be compared
    assert day_alone.climatology_["error"].isna().all()


def names(series, n_shown):
    unwrapped, calendar = unwrap(series)
    return [climatology_module.name_of(a) for a in candidates(unwrapped, calendar, n_shown)]


@pytest.mark.parametrize(
    ("n_times", "freq", "n_shown", "expected"),
    [
        (119, "MS", 90, ["mean", "year, 1 harmonic", "year, 3 harmonics"]),
        (120, "MS", 90, ["year, 3 harmonics"]),
        (15, "MS", 10, ["mean"]),
        (15, "MS", 11, ["mean", "year, 1 harmonic", "year, 3 harmonics"]),
        (72, "h", 54, ["mean"]),
        (96, "h", 72, ["mean", "day, 1 harmonic", "day, 3 harmonics"]),
        (24 * 60, "h", 24 * 45, ["day, 3 harmonics"]),
        (4 * 500, "6h", 4 * 375, ["day, 3 harmonics", "year, 1 harmonic", "year, 3 harmonics"]),
        (20, "12h", 15, ["mean", "day, 3 harmonics"]),  # of two steps there is one form
        (40, "YS", 30, ["mean"]),
    ],
)
def test_candidates_go_from_the_safest_to_the_richest(n_times, freq, n_shown, expected):
    assert names(make_series(n_times, freq, 0.0, 12, shape=(4, 4)), n_shown) == expected


def test_without_labels_there_is_the_mean_alone():
    assert names(months(3, 5.0).drop_vars("time"), 27) == ["mean"]
    assert chosen(fit(months(3, 5.0).values)) == "mean"


def test_samples_are_compared_as_samples_and_count_as_periods():
    series = months(2, 5.0, n_samples=4)
    assert chosen(fit(series)).startswith("year")
    assert len(fit(series).climatology_) == 3
    assert len(fit(months(2, 5.0, n_samples=5)).climatology_) == 1  # ten years


def n_reads(series, **parameters):
    """Steps that `fit` reads of a series in chunks of one."""
    opened, archive = lazy(series, 1)
    model = fit(opened, **parameters)
    return archive.n_reads, model


@pytest.mark.slow
def test_many_years_are_not_compared():
    unasked, model = n_reads(months(10, 5.0))
    asked, _ = n_reads(months(10, 5.0), climatology="year")
    assert unasked == asked
    assert chosen(model) == "year, 3 harmonics"
    fewer, _ = n_reads(months(9, 5.0))
    assert fewer > n_reads(months(9, 5.0), climatology="year")[0]


def test_of_a_long_series_a_bounded_number_of_fields_is_read(monkeypatch):
    monkeypatch.setattr(climatology_module, "MOST_FIELDS", 128)
    monkeypatch.setattr(climatology_module, "N_HINDCASTS", 2)
    opened, archive = lazy(hours(50, 1.0, shape=(4, 4)), 1)
    unwrapped, calendar = unwrap(opened)
    windows, _ = divide(unwrapped.values.shape, window=3, stride=1, context=4, validation_fraction=0.0)
    choice = ClimatologyChoice(windows, 3, 4, 20, (False, False))
    assert choice.choose(unwrapped, calendar).period_ == "day"
    assert archive.n_reads <= 128 + 2 * (4 + 20)


def test_a_large_grid_is_compared_on_some_of_its_cells(monkeypatch):
    monkeypatch.setattr(climatology_module, "MOST_CELLS", 16)
    assert chosen(fit(months(4, 5.0, shape=(16, 16)))).startswith("year")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_forecaster_chooses_and_dask_and_numpy_choose_alike(name):
    series = months(4, 5.0)
    first, second = (small(name).fit(x) for x in (series, series.chunk(time=10)))
    assert chosen(first).startswith("year")
    pd.testing.assert_frame_equal(first.climatology_, second.climatology_)


def test_it_sees_nothing_of_what_is_held_out():
    series = months(4, 5.0)
    other = series.copy()
    other[-6:] = other[-6:].values[:, ::-1, ::-1]  # within the range of the series, and so of the transformer
    tables = [small("cnmm", validation_fraction=0.125).fit(x).climatology_ for x in (series, other)]
    pd.testing.assert_frame_equal(*tables)


def test_gaps_and_a_quarter_without_observations():
    series = months(4, 5.0)
    gaps = np.random.default_rng(1).uniform(size=series.shape) < 0.2
    assert chosen(fit(series.where(~gaps))).startswith("year")
    blind = series.copy()
    blind[34:] = np.nan
    assert chosen(fit(blind)).startswith("year")  # the others tell


@pytest.mark.parametrize("name", ["linear", "convlstm"])
@pytest.mark.parametrize("climatology", ["auto", "year", None])
def test_a_file_and_the_card_keep_what_was_compared(name, climatology, tmp_path):
    model = small(name, climatology=climatology).fit(months(3, 5.0))
    model.save(tmp_path / "model")
    loaded = gc.load(tmp_path / "model", device="cpu")
    pd.testing.assert_frame_equal(loaded.climatology_, model.climatology_)
    for row in model.climatology_.itertuples():
        assert f"| {row.Index} | {row.chosen} | {row.error:.6g} |" in loaded.card()


def test_the_linear_model_of_another_forecaster_has_its_choice():
    model = small("cnmm", max_steps=1).fit(months(3, 5.0))
    assert model.linear_.climatology_ is model.climatology_


def test_a_horizon_is_how_many_leads_are_decided(tmp_path):
    series = make_series(60, "D", 0.0, 365)
    linear, cnmm = (small(name, horizon=5).fit(series) for name in ("linear", "cnmm"))
    assert len(linear.module_.damping) == 5
    assert len(cnmm.decisions_) == len(cnmm.linear_.module_.damping) == 5
    assert cnmm.predict(7).sizes["time"] == 7
    cnmm.save(tmp_path / "model")
    xr.testing.assert_identical(gc.load(tmp_path / "model", device="cpu").predict(7), cnmm.predict(7))


def test_the_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    fit(months(3, 5.0))
    assert torch.equal(state, torch.get_rng_state())
