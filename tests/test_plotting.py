"""Figures: what is drawn equals the data."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from gridcast import metrics
from gridcast.plotting import plot_error_by_lead, plot_history, plot_maps, plot_spread_skill


@pytest.fixture(autouse=True)
def _clean_figures() -> Iterator[None]:
    """Close every figure, and fail a test after which matplotlib has other settings."""
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


@pytest.fixture
def observed() -> xr.DataArray:
    """Ten days of skewed rain on a grid with descending latitude and one column of land."""
    values = np.random.default_rng(0).gamma(0.3, 5.0, (10, 4, 6))
    values[:, :, 2] = np.nan
    return xr.DataArray(
        values,
        coords={
            "time": pd.date_range("2001-01-01", periods=10),
            "lat": [30.0, 20.0, 10.0, 0.0],
            "lon": np.arange(6) * 10.0,
        },
        name="precip",
        attrs={"units": "mm/day"},
    )


@pytest.fixture
def forecast(observed: xr.DataArray) -> xr.DataArray:
    """The last six days, with noise."""
    last = observed[4:]
    return last + np.random.default_rng(1).normal(size=last.shape)


def drawn(ax: Axes) -> np.ma.MaskedArray:
    """Return the cells of a map, bottom row first."""
    (mesh,) = ax.collections
    y = mesh.get_coordinates()[:, 0, 1]
    cells = mesh.get_array()
    return cells if y[0] < y[-1] else cells[::-1]


def colorbars(axes: np.ndarray) -> list[Axes]:
    """Return the axes of the figure that are not maps."""
    return [ax for ax in axes[0, 0].figure.axes if ax not in axes.ravel()]


def test_maps_show_truth_forecast_and_error_north_up(observed, forecast):
    times = observed["time"].values[[4, 7, 9]]
    axes = plot_maps(observed, forecast, times=times)
    assert axes.shape == (3, 3)
    rows = (observed, forecast, forecast - observed)
    for row, data in zip(axes, rows, strict=True):
        for ax, time in zip(row, times, strict=True):
            south_up = data.sel(time=time).sortby("lat").values
            np.testing.assert_allclose(drawn(ax).filled(np.nan), south_up)
            assert ax.get_ylim() == (-5.0, 35.0)
            assert ax.get_xlim() == (-5.0, 55.0)


def test_maps_do_not_depend_on_the_orientation_of_latitude(observed, forecast):
    flipped = plot_maps(observed[:, ::-1], forecast[:, ::-1])
    for ax, other in zip(plot_maps(observed, forecast).flat, flipped.flat, strict=True):
        np.testing.assert_array_equal(drawn(ax), drawn(other))
        assert ax.get_ylim() == other.get_ylim()


def test_maps_share_one_scale_and_the_error_is_symmetric(observed, forecast):
    axes = plot_maps(observed, forecast * 2.0)
    limits = {ax.collections[0].get_clim() for ax in axes[:2].flat}
    steps = [4, 6, 7, 9]
    shown = np.concatenate([observed[steps].values.ravel(), 2.0 * forecast[[0, 2, 3, 5]].values.ravel()])
    assert limits == {(0.0, np.nanpercentile(shown, 98))}
    ((low, high),) = {ax.collections[0].get_clim() for ax in axes[2]}
    assert low == -high < 0.0
    error = 2.0 * forecast[[0, 2, 3, 5]] - observed[steps]
    assert high == np.nanpercentile(abs(error), 98)
    assert axes[0, 0].collections[0].cmap.name == "viridis"
    assert axes[2, 0].collections[0].cmap.name == "RdBu_r"


def test_rain_in_a_single_cell_is_on_the_scale(observed):
    single = xr.zeros_like(observed)
    single[0, 1, 1] = 7.0
    assert plot_maps(single, single)[0, 0].collections[0].get_clim() == (0.0, 7.0)


def test_temperature_is_not_scaled_from_zero(observed, forecast):
    axes = plot_maps(observed + 273.15, forecast + 273.15)
    assert axes[0, 0].collections[0].get_clim()[0] > 270.0


def test_maps_titles_and_colorbars(observed, forecast):
    axes = plot_maps(observed, forecast, times=["2001-01-06", "2001-01-10"])
    assert [ax.get_title() for ax in axes[0]] == ["2001-01-06", "2001-01-10"]
    rmse = metrics.rmse(forecast.sel(time="2001-01-06"), observed.sel(time="2001-01-06")).item()
    assert axes[2, 0].get_title() == f"RMSE {rmse:.3g} mm/day"
    assert [bar.get_ylabel() for bar in colorbars(axes)] == ["precip [mm/day]", "error [mm/day]"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["truth\nlat", "forecast\nlat", "error\nlat"]


def test_hours_are_in_the_title_of_a_step_within_a_day(observed, forecast):
    hourly = pd.date_range("2001-01-01", periods=10, freq="12h")
    axes = plot_maps(observed.assign_coords(time=hourly), forecast.assign_coords(time=hourly[4:]), times=hourly[4:6])
    assert [ax.get_title() for ax in axes[0]] == ["2001-01-03 00:00", "2001-01-03 12:00"]


def test_maps_take_cftime(observed):
    observed["time"] = xr.date_range("2001-02-25", periods=10, calendar="360_day", use_cftime=True)
    axes = plot_maps(observed, observed, times=observed["time"].values[5:6])
    assert axes[0, 0].get_title() == "2001-02-30"


def test_missing_cells_are_grey(observed, forecast):
    for ax in plot_maps(observed, forecast).flat:
        (mesh,) = ax.collections
        assert drawn(ax).mask[:, 2].all()
        red, green, blue, alpha = mesh.cmap.get_bad()
        assert red == green == blue == 0.75
        assert alpha == 1.0


def test_maps_default_to_four_steps_that_both_have(observed, forecast):
    titles = [ax.get_title() for ax in plot_maps(observed, forecast)[0]]
    assert titles == ["2001-01-05", "2001-01-07", "2001-01-08", "2001-01-10"]
    assert plot_maps(observed, forecast[:2]).shape == (3, 2)


def test_maps_of_a_grid_without_labels(observed):
    plain = observed.drop_vars(observed.dims).rename(lat="y", lon="x").drop_attrs()
    axes = plot_maps(plain, plain, times=[3])
    np.testing.assert_allclose(drawn(axes[0, 0]).filled(np.nan), plain[3].values)
    assert axes[0, 0].get_title() == "time 3"
    assert (axes[0, 0].get_ylabel(), axes[2, 0].get_xlabel()) == ("truth\ny", "x")
    assert axes[2, 0].get_title() == "RMSE 0"


@pytest.mark.parametrize(
    "labels", [[5.0], [350.0, 0.0, 10.0], ["a", "b", "c"], [3.0, 3.0, 3.0], np.array([9, 5, 1], "uint8")]
)
def test_every_cell_has_an_area_whatever_its_labels(labels):
    data = xr.DataArray(np.ones((1, 2, len(labels))), dims=("time", "y", "x"), coords={"x": labels})
    (mesh,) = plot_maps(data, data)[0, 0].collections
    widths = np.diff(mesh.get_coordinates()[0, :, 0])
    assert (widths > 0.0).all() or (widths < 0.0).all()


def test_constant_and_empty_fields_have_a_scale(observed):
    for data in (observed * 0.0, observed * 0.0 + 280.0, observed * np.nan):
        for ax in plot_maps(data, data).flat:
            low, high = ax.collections[0].get_clim()
            assert low < high


def test_maps_draw_into_given_axes(observed, forecast):
    _, axes = plt.subplots(3, 4)
    assert plot_maps(observed, forecast, axes=axes) is axes
    assert len(plt.get_fignums()) == 1
    with pytest.raises(ValueError, match=r"axes must have the shape \(3, 4\), got \(3, 2\)"):
        plot_maps(observed, forecast, axes=axes[:, :2])


def test_maps_leave_the_data_lazy(observed, forecast):
    lazy = observed.chunk(time=1)
    np.testing.assert_array_equal(drawn(plot_maps(lazy, forecast)[0, 0]), drawn(plot_maps(observed, forecast)[0, 0]))
    assert lazy.chunks is not None


def test_maps_errors(observed, forecast):
    with pytest.raises(ValueError, match=r"forecast has dimensions \('member', .*select or average"):
        plot_maps(observed, forecast.expand_dims("member"))
    with pytest.raises(ValueError, match=r"select the same labels of observed and forecast first.*lat"):
        plot_maps(observed, forecast[:, ::-1])
    with pytest.raises(ValueError, match=r"both have the times .*2001-01-01"):
        plot_maps(observed, forecast, times=["2001-01-01"])
    with pytest.raises(ValueError, match="no time to show"):
        plot_maps(observed[:4], forecast)
    with pytest.raises(ValueError, match="no time to show"):
        plot_maps(observed, forecast, times=[])


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


def ensemble_and_truth(n_members: int, n_times: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Return draws of one distribution a step, whose scale differs between the steps."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.5, 4.0, n_times)
    truth = xr.DataArray(rng.normal(size=n_times) * scale, dims="time", attrs={"units": "K"})
    return xr.DataArray(rng.normal(size=(n_members, n_times)) * scale, dims=("member", "time")), truth


def test_bins_of_a_calibrated_ensemble_lie_on_the_line():
    ensemble, truth = ensemble_and_truth(100, 20_000)
    ax = plot_spread_skill(ensemble, truth, n_bins=5)
    bins, diagonal = ax.lines
    np.testing.assert_allclose(bins.get_ydata(), bins.get_xdata(), rtol=0.05)
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert np.ptp(bins.get_xdata()) > 2.0
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ensemble spread [K]", "RMSE of the mean [K]")
    overconfident = plot_spread_skill(0.5 * ensemble, truth, n_bins=5).lines[0]
    np.testing.assert_allclose(overconfident.get_ydata(), 2.0 * overconfident.get_xdata(), rtol=0.05)


def test_one_bin_is_the_spread_skill_ratio():
    ensemble, truth = ensemble_and_truth(3, 50)
    truth[:10] = np.nan
    ensemble[1, 20:30] = np.nan
    line = plot_spread_skill(ensemble, truth, n_bins=1).lines[0]
    spread, error = line.get_xdata().item(), line.get_ydata().item()
    assert spread / error == pytest.approx(metrics.spread_skill_ratio(ensemble, truth).item())


def test_bins_are_of_equal_count_and_ascending():
    # Spreads of 1 to 6 units and errors of 10 to 60: two bins hold three cells each.
    size = np.array([5.0, 1.0, 3.0, 2.0, 6.0, 4.0])
    ensemble = xr.DataArray([size, -size], dims=("number", "time"))
    _, ax = plt.subplots()
    assert (
        plot_spread_skill(ensemble, xr.DataArray(10.0 * size, dims="time"), n_bins=2, ax=ax, member_dim="number") is ax
    )
    mean_squares = np.array([(1 + 4 + 9) / 3, (16 + 25 + 36) / 3])
    np.testing.assert_allclose(ax.lines[0].get_xdata(), np.sqrt(3.0 * mean_squares))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 10.0 * np.sqrt(mean_squares))


def test_spread_skill_errors():
    ensemble, truth = ensemble_and_truth(2, 5)
    with pytest.raises(ValueError, match="two members or more, 'member' has 1"):
        plot_spread_skill(ensemble[:1], truth)
    with pytest.raises(ValueError, match="two members or more, 'number' has 0"):
        plot_spread_skill(ensemble, truth, member_dim="number")
    with pytest.raises(ValueError, match="n_bins must lie between 1 and the 5 cells with data, got 6"):
        plot_spread_skill(ensemble, truth, n_bins=6)
    with pytest.raises(ValueError, match="n_bins must lie between 1 and the 5 cells with data, got 0"):
        plot_spread_skill(ensemble, truth, n_bins=0)
    labelled = ensemble.assign_coords(time=range(5))
    with pytest.raises(ValueError, match="select the same labels of observed and forecast first"):
        plot_spread_skill(labelled, truth.assign_coords(time=range(1, 6)))


def test_history_draws_both_lines():
    history = [
        {"epoch": 3, "elbo": -2.0, "loss": 2.0, "validation_error": 0.5},
        {"epoch": 4, "elbo": -1.0, "loss": 1.0, "validation_error": None},
        {"epoch": 5, "elbo": -0.5, "loss": 0.5, "validation_error": 0.25},
    ]
    objective, validation = plot_history(history)
    for ax, values, label in (
        (objective, [-2.0, -1.0, -0.5], "ELBO [nats]"),
        (validation, [0.5, np.nan, 0.25], "validation error"),
    ):
        (line,) = ax.lines
        np.testing.assert_array_equal(line.get_xdata(), [3, 4, 5])
        np.testing.assert_array_equal(line.get_ydata(), values)
        assert ax.get_ylabel() == label
        assert ax.yaxis.label.get_color() == line.get_color()
    assert objective.lines[0].get_color() != validation.lines[0].get_color()


def test_history_without_validation_is_one_panel():
    _, given = plt.subplots()
    (ax,) = plot_history([{"loss": 2.0}, {"loss": 1.0, "validation_error": None}], ax=given)
    assert ax is given
    assert ax.figure.axes == [ax]
    assert ax.get_ylabel() == "loss"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1, 2])


def test_history_errors():
    for history in ([], [{"epoch": 1, "seconds": 2.0}]):
        with pytest.raises(ValueError, match="history must have 'elbo' or 'loss' in its"):
            plot_history(history)
