"""Scores: lines, bands and bars equal the data."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from gridcast.plotting import plot_error_by_lead, plot_error_by_sample, plot_score_bars


@pytest.fixture
def errors() -> dict[str, xr.DataArray]:
    """Three models' errors at leads of 1, 2 and 3 steps."""
    error = xr.DataArray([1.0, 2.0, 4.0], coords={"lead_time": [1, 2, 3]}, name="mse", attrs={"units": "K^2"})
    return {"CNMM": error, "persistence": 2.0 * error, "DMM": 1.5 * error, "climatology": 0.0 * error + 6.0}


def test_error_by_lead_draws_the_errors(errors):
    ax = plot_error_by_lead(errors)
    assert [line.get_label() for line in ax.lines] == list(errors)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(errors)
    for line, error in zip(ax.lines, errors.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), error)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lead time [steps]", "MSE [K²]")
    assert ax.get_ylim()[0] == 0.0


def test_baselines_are_dashed_and_grey_and_models_are_not(errors):
    lines = {line.get_label(): line for line in plot_error_by_lead(errors).lines}
    for name, line in lines.items():
        red, green, blue = mpl.colors.to_rgb(line.get_color())
        assert (red == green == blue) == (name in ("persistence", "climatology"))
        assert line.is_dashed() == (name in ("persistence", "climatology"))
    assert to_hex(lines["CNMM"].get_color()) != to_hex(lines["DMM"].get_color())


def test_seven_models_can_be_told_apart_by_colour_and_by_marker(errors):
    lines = plot_error_by_lead({f"model {i}": errors["CNMM"] for i in range(7)}).lines
    assert len({to_hex(line.get_color()) for line in lines}) == 7
    assert len({line.get_marker() for line in lines}) == 7


@pytest.mark.parametrize(
    ("minutes", "drawn_at", "unit"),
    [
        ([5, 10, 15], [5, 10, 15], "minutes"),
        ([360, 720, 1440], [6, 12, 24], "hours"),
        ([7200, 14400, 21600], [5, 10, 15], "days"),
        ([0.5, 1.0, 1.5], [30, 60, 90], "seconds"),
    ],
)
def test_timedeltas_in_their_largest_whole_unit(errors, minutes, drawn_at, unit):
    lead_time = pd.to_timedelta(minutes, unit="min")
    ax = plot_error_by_lead({name: error.assign_coords(lead_time=lead_time) for name, error in errors.items()})
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), drawn_at)
    assert ax.get_xlabel() == f"lead time [{unit}]"


def test_other_scores_and_steps_without_labels(errors):
    _, ax = plt.subplots()
    crps = errors["CNMM"].rename("crps").assign_attrs(units="(mm/day)").drop_vars("lead_time")
    assert plot_error_by_lead({"CNMM": crps}, ax=ax) is ax
    assert ax.get_ylabel() == "CRPS [(mm/day)]"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1, 2, 3])


def test_error_by_lead_errors(errors):
    with pytest.raises(ValueError, match="errors must hold models of one unit, got"):
        plot_error_by_lead({})
    with pytest.raises(ValueError, match=r"one unit, got \['a', 'b'\] in \['K\^2', 'degC\^2'\]"):
        plot_error_by_lead({"a": errors["CNMM"], "b": errors["CNMM"].assign_attrs(units="degC^2")})
    with pytest.raises(ValueError, match=r"errors\['a'\] has dimensions .*average all but lead_time"):
        plot_error_by_lead({"a": errors["CNMM"].expand_dims("lat")})
    timed = errors["CNMM"].assign_coords(lead_time=pd.to_timedelta([1, 2, 3], unit="D"))
    with pytest.raises(ValueError, match="lead_time in steps and in time"):
        plot_error_by_lead({"a": errors["CNMM"], "b": timed})


def test_confidence_is_a_band_of_the_colour_of_its_line(errors):
    error = errors["CNMM"]
    lower, upper = error - 0.5, error + np.array([1.0, 2.0, 3.0])
    bounds = xr.concat([upper, lower], xr.Variable("bound", ["upper", "lower"]))
    for given in ((error, lower, upper), (error, bounds), (error, bounds.transpose())):
        ax = plot_error_by_lead({"persistence": errors["persistence"], "CNMM": given})
        (band,) = ax.collections
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        expected = {
            (lead, value) for side in (lower, upper) for lead, value in zip((1, 2, 3), side.values, strict=True)
        }
        assert corners == expected
        line = ax.lines[1]
        np.testing.assert_array_equal(line.get_ydata(), error)
        assert to_hex(band.get_facecolor()[0]) == to_hex(line.get_color())


def test_a_score_below_zero_is_drawn_with_a_line_at_zero(errors):
    skill = (errors["CNMM"] - 3.0).rename("mse_skill").assign_attrs(units="1")
    ax = plot_error_by_lead({"CNMM": skill})
    assert ax.get_ylim()[0] < -2.0
    assert ax.get_ylabel() == "MSE skill"
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0.0, 0.0])


@pytest.mark.parametrize(
    ("name", "attrs", "label"),
    [
        ("rmse", {"units": "K"}, "RMSE [K]"),
        ("spread_skill_ratio", {"units": "1"}, "spread-skill ratio"),
        ("my_score", {}, "my score"),
        (None, {"units": "K"}, "error [K]"),
        ("crps", {"units": "K", "long_name": "fair CRPS"}, "fair CRPS [K]"),
    ],
)
def test_the_axis_is_called_as_the_score(errors, name, attrs, label):
    score = errors["CNMM"].rename(name).drop_attrs().assign_attrs(attrs)
    assert plot_error_by_lead({"CNMM": score}).get_ylabel() == label


def test_a_verification_has_its_score_and_bounds(errors):
    error = errors["CNMM"]
    verified = xr.Dataset({"mse": error, "mse_lower": 0.5 * error, "mse_upper": 2.0 * error, "mae": 3.0 * error})
    ax = plot_error_by_lead({"CNMM": verified})
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), error)
    assert {tuple(c) for c in ax.collections[0].get_paths()[0].vertices} >= {(3, 2.0), (3, 8.0)}
    ax = plot_error_by_lead({"CNMM": verified}, score="mae")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), 3.0 * error)
    assert len(ax.collections) == 0
    bars = plot_score_bars({"CNMM": verified.isel(lead_time=[0, 2])}, score="mse")
    assert [bar.get_height() for bar in bars.patches] == [1.0, 4.0]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["1", "3"]
    with pytest.raises(ValueError, match=r"errors\['a'\] has no score='crps': choose one of \['mae', 'mse', "):
        plot_error_by_lead({"a": verified}, score="crps")


def test_bars_of_timedeltas_are_in_whole_units(errors):
    timed = errors["CNMM"].assign_coords(lead_time=pd.to_timedelta([6, 12, 24], unit="h"))
    ax = plot_score_bars({"CNMM": timed})
    assert [label.get_text() for label in ax.get_xticklabels()] == ["6", "12", "24"]
    assert ax.get_xlabel() == "lead time [hours]"


def test_bounds_errors(errors):
    error = errors["CNMM"]
    bounds = xr.concat([error, error], xr.Variable("bound", ["lower", "upper"]))
    with pytest.raises(ValueError, match=r"errors\['a'\] has dimensions .*write \(score, bounds\)"):
        plot_error_by_lead({"a": bounds})
    with pytest.raises(
        ValueError, match=r"errors\['a'\] has bounds without a dimension 'bound' of 'lower' and 'upper'"
    ):
        plot_error_by_lead({"a": (error, bounds.assign_coords(bound=["low", "high"]))})
    with pytest.raises(ValueError, match=r"errors\['a'\] has bounds at other labels of 'lead_time' than its score"):
        plot_error_by_lead({"a": (error, error[1:], error[1:])})
    with pytest.raises(ValueError, match=r"errors\['a'\] has 4 parts: write \(score, lower, upper\)"):
        plot_error_by_lead({"a": (error,) * 4})
    with pytest.raises(TypeError, match=r"errors\['a'\] must be a DataArray, not float"):
        plot_error_by_lead({"a": (error, 0.1, 0.2)})


@pytest.fixture
def runs() -> xr.DataArray:
    """Four samples of three leads; one cell is missing."""
    values = np.random.default_rng(0).normal(size=(4, 3, 2, 5))
    values[:, :, 0, 0] = np.nan
    leads = {"lead_time": pd.to_timedelta([6, 12, 18], unit="h")}
    return xr.DataArray(values, dims=("sample", "lead_time", "y", "x"), coords=leads, attrs={"units": "mm/day"})


def test_error_by_sample_is_the_mean_over_space(runs):
    sizes = np.arange(1.0, 13.0).reshape(4, 3)
    forecast = runs + xr.DataArray(sizes, dims=("sample", "lead_time"), coords={"lead_time": runs["lead_time"]})
    axes = plot_error_by_sample(runs, {"CNMM": forecast.transpose("y", ...), "persistence": runs + 20.0})
    assert axes.shape == (4,)
    for i, ax in enumerate(axes):
        np.testing.assert_allclose(ax.lines[0].get_ydata(), sizes[i] ** 2)
        np.testing.assert_allclose(ax.lines[1].get_ydata(), 400.0)
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), [6, 12, 18])
        assert ax.get_title() == f"sample {i + 1}"
        assert ax.get_yscale() == "log"
    figure = axes[0].figure
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("lead time [hours]", "squared error [(mm/day)²]")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CNMM", "persistence"]
    assert len({ax.get_ylim() for ax in axes}) == 1


def test_error_by_sample_takes_samples_evenly_and_names_them_by_label(runs):
    dates = runs.rename(sample="init_time").assign_coords(init_time=pd.date_range("2001-01-01", periods=4))
    dates = dates.assign_coords(time=dates["init_time"] + dates["lead_time"])
    axes = plot_error_by_sample(dates, {"CNMM": dates}, dim="init_time", n_samples=2)
    assert [ax.get_title() for ax in axes] == ["2001-01-01", "2001-01-04"]
    assert axes[0].get_yscale() == "linear"  # an error of zero
    numbered = runs.assign_coords(sample=[10, 20, 30, 40])
    assert plot_error_by_sample(numbered, {"CNMM": numbered})[1].get_title() == "sample 20"


def test_error_by_sample_of_time_steps_in_given_axes(runs):
    steps = runs.rename(lead_time="time").assign_coords(time=pd.date_range("2001-01-01", periods=3))
    _, axes = plt.subplots(4)
    assert plot_error_by_sample(steps, {"CNMM": steps + 1.0}, axes=axes) is axes
    np.testing.assert_array_equal(axes[0].lines[0].get_xdata(), [1, 2, 3])
    assert axes[0].get_ylabel() == "squared error [(mm/day)²]"
    assert axes[0].get_legend() is not None


def test_error_by_sample_errors(runs):
    with pytest.raises(ValueError, match=r"observed has dimensions .*, without 'init_time' or lead times: set dim"):
        plot_error_by_sample(runs, {"CNMM": runs}, dim="init_time")
    with pytest.raises(ValueError, match="n_samples=0 must be 1 or more"):
        plot_error_by_sample(runs, {"CNMM": runs}, n_samples=0)
    with pytest.raises(ValueError, match=r"forecasts\['CNMM'\] has the dimensions"):
        plot_error_by_sample(runs, {"CNMM": runs[0]})
    with pytest.raises(ValueError, match=r"axes must have the shape \(4,\), got \(2,\)"):
        plot_error_by_sample(runs, {"CNMM": runs}, axes=plt.subplots(2)[1])


@pytest.fixture
def by_length() -> xr.DataArray:
    """A score of three lengths of a window."""
    length = xr.Variable("length", [5, 10, 20], {"units": "steps"})
    return xr.DataArray([1.0, 2.0, 4.0], coords={"length": length}, name="mse", attrs={"units": "K^2"})


def test_bars_stand_side_by_side_and_as_high_as_the_scores(by_length):
    scores = {
        name: by_length.copy(data=factor * by_length)
        for name, factor in {"persistence": 2.0, "CNMM": 1.0, "DMM": 1.5}.items()
    }
    ax = plot_score_bars(scores)
    bars = {container.get_label(): container.patches for container in ax.containers}
    assert list(bars) == list(scores)
    for name, score in scores.items():
        np.testing.assert_array_equal([bar.get_height() for bar in bars[name]], score)
    for group in range(3):
        edges = [(bar[group].get_x(), bar[group].get_x() + bar[group].get_width()) for bar in bars.values()]
        assert all(left[1] < right[0] for left, right in itertools.pairwise(edges))
        assert np.mean(edges) == pytest.approx(group)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["5", "10", "20"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length [steps]", "MSE [K²]")
    by_lead = by_length.rename(length="lead_time").assign_coords(lead_time=[5, 10, 20])
    assert plot_score_bars({"CNMM": by_lead}).get_xlabel() == "lead time [steps]"
    lines = {
        line.get_label(): line for line in plot_error_by_lead({"CNMM": by_length.rename(length="lead_time")}).lines
    }
    assert to_hex(bars["CNMM"][0].get_facecolor()) == to_hex(lines["CNMM"].get_color())


def test_bars_have_whiskers_and_limits(by_length):
    ax = plot_score_bars(
        {"CNMM": (by_length, by_length - 0.5, by_length + 1.0)},
        limits={"Kalman filter": 0.5 * by_length, "another": 0.7 * by_length},
    )
    (bars,) = [container for container in ax.containers if hasattr(container, "patches")]
    whiskers = bars.errorbar.lines[2][0].get_segments()
    np.testing.assert_array_equal([segment[:, 1] for segment in whiskers], [[0.5, 2.0], [1.5, 3.0], [3.5, 5.0]])
    limits = {lines.get_label(): lines for lines in ax.collections if not lines.get_label().startswith("_")}
    assert list(limits) == ["Kalman filter", "another"]
    np.testing.assert_array_equal(
        [s[:, 1] for s in limits["another"].get_segments()], [[0.7] * 2, [1.4] * 2, [2.8] * 2]
    )
    assert limits["another"].get_linestyle() != limits["Kalman filter"].get_linestyle()
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"CNMM", "Kalman filter", "another"}


def test_bars_draw_into_given_axes(by_length):
    _, ax = plt.subplots()
    assert plot_score_bars({"CNMM": by_length}, ax=ax) is ax


def test_bars_errors(by_length):
    with pytest.raises(ValueError, match=r"scores must hold models of one unit, got \[\]"):
        plot_score_bars({})
    with pytest.raises(ValueError, match=r"scores\['b'\] has other labels along 'length' than the first"):
        plot_score_bars({"a": by_length, "b": by_length[1:]})
    with pytest.raises(ValueError, match=r"limits\['b'\] has other labels along 'length' than the first"):
        plot_score_bars({"a": by_length}, limits={"b": by_length[::-1]})
    with pytest.raises(ValueError, match=r"scores\['a'\] has dimensions \('length', 'lat'\): average all but one"):
        plot_score_bars({"a": by_length.expand_dims("lat", axis=1)})
    with pytest.raises(TypeError, match=r"scores\['a'\] must be a DataArray, not dict"):
        plot_score_bars({"a": {"5": 1.0}})
