"""Maps: what is drawn equals the data."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.axes import Axes

from gridcast.plotting import plot_error_maps, plot_film, plot_maps


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
    rmse = np.sqrt(np.nanmean((forecast[1].values - observed[5].values) ** 2))
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
    step = observed[:1]
    for data in (step * 0.0, step * 0.0 + 280.0, step * np.nan):
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
    lazy, forecast = observed.chunk(time=1), forecast[:1]
    np.testing.assert_array_equal(drawn(plot_maps(lazy, forecast)[0, 0]), drawn(plot_maps(observed, forecast)[0, 0]))
    assert lazy.chunks is not None


def test_maps_errors(observed, forecast):
    with pytest.raises(ValueError, match=r"forecast has the dimension 'member', .*forecast.isel\(member=0\) or"):
        plot_maps(observed, forecast.expand_dims("member"))
    with pytest.raises(ValueError, match=r"observed and forecast differ along 'lat'.*forecast.sel\(lat=observed"):
        plot_maps(observed, forecast[:, ::-1])
    with pytest.raises(ValueError, match=r"both have the times .*2001-01-01"):
        plot_maps(observed, forecast, times=["2001-01-01"])
    with pytest.raises(ValueError, match="no time to show"):
        plot_maps(observed[:4], forecast)
    with pytest.raises(ValueError, match="no time to show"):
        plot_maps(observed, forecast, times=[])


def test_maps_take_a_forecast_of_a_backtest(by_lead, observed):
    axes = plot_maps(by_lead, by_lead + 1.0)
    assert [ax.get_title() for ax in axes[0]] == ["2001-01-01", "2001-01-04", "2001-01-07", "2001-01-10"]
    np.testing.assert_allclose(drawn(axes[0, 1]).filled(np.nan), observed[3].sortby("lat").values)


def test_maps_of_other_dimensions_or_types_are_refused(observed, forecast):
    with pytest.raises(ValueError, match=r"forecast has the dimension 'y', .*forecast.rename\(y='lat'\)"):
        plot_maps(observed, forecast.rename(lat="y"))
    with pytest.raises(TypeError, match="forecast must be a DataArray, not ndarray: wrap or select one"):
        plot_maps(observed, forecast.values)


@pytest.fixture
def pair(observed: xr.DataArray) -> dict[str, xr.DataArray]:
    """Two models whose errors are 1 and 3 everywhere."""
    return {"CNMM": observed + 1.0, "persistence": observed.transpose("lat", "time", "lon") - 3.0}


def test_error_maps_draw_the_mean_absolute_error(observed, pair):
    noise = np.random.default_rng(2).normal(size=observed.shape)
    axes = plot_error_maps(observed, pair | {"DMM": observed + noise, "ConvLSTM": observed})
    assert axes.shape == (4,)
    assert [ax.get_title() for ax in axes][:2] == ["CNMM\nmean 1 mm/day", "persistence\nmean 3 mm/day"]
    expected = xr.zeros_like(observed) + abs(noise)
    np.testing.assert_allclose(drawn(axes[2]).filled(np.nan), expected.mean("time")[::-1].where(observed[0][::-1] > -1))
    assert drawn(axes[0]).mask[:, 2].all()
    ((low, high),) = {ax.collections[0].get_clim() for ax in axes}
    assert (low, high) == (0.0, pytest.approx(3.0))
    (bar,) = [ax for ax in axes[0].figure.axes if ax not in axes]
    assert bar.get_ylabel() == "mean absolute error [mm/day]"
    assert [(ax.get_ylabel(), ax.get_xlabel()) for ax in axes[[0, 3]]] == [("lat", ""), ("lat", "lon")]


def test_error_maps_average_over_all_but_the_grid(observed):
    runs = xr.concat([observed, observed], "init_time")
    shift = xr.DataArray([1.0, 5.0], dims="init_time")
    (ax,) = plot_error_maps(runs, {"CNMM": (runs + shift).transpose(*runs.dims)})
    assert drawn(ax).compressed() == pytest.approx(3.0)


def test_error_maps_draw_into_given_axes(observed, pair):
    _, axes = plt.subplots(2)
    assert plot_error_maps(observed, pair, axes=axes) is axes
    with pytest.raises(ValueError, match=r"axes must have the shape \(2,\), got \(3,\)"):
        plot_error_maps(observed, pair, axes=plt.subplots(3)[1])


def test_error_maps_errors(observed, pair):
    with pytest.raises(ValueError, match="forecasts is empty: give one model or more"):
        plot_error_maps(observed, {})
    with pytest.raises(TypeError, match="forecasts must be a mapping of names to DataArrays, not DataArray: write"):
        plot_error_maps(observed, pair["CNMM"])
    with pytest.raises(TypeError, match=r"forecasts\['a'\] must be a DataArray, not ndarray"):
        plot_error_maps(observed, {"a": observed.values})
    with pytest.raises(
        ValueError, match=r"forecasts\['a'\] has the dimensions \('lat', 'lon'\), observed has \('time'"
    ):
        plot_error_maps(observed, {"a": observed[0]})
    with pytest.raises(ValueError, match=r"observed and forecasts\['a'\] differ along 'time'"):
        plot_error_maps(observed, {"a": observed[1:]})
    with pytest.raises(ValueError, match=r"observed has the dimensions \('time',\): it needs y and x"):
        plot_error_maps(observed[:, 0, 0], {"a": observed[:, 0, 0]})


def test_film_has_a_row_a_model_and_a_column_a_lead(by_lead):
    rows = {"truth": by_lead, "CNMM": by_lead + 1.0, "persistence": 0.5 * by_lead}
    models = {name: data for name, data in rows.items() if name != "truth"}
    axes = plot_film(by_lead, models, leads=by_lead.lead_time.isel(lead_time=[0, 1, 9]))
    assert axes.shape == (3, 3)
    for row, data in zip(axes, rows.values(), strict=True):
        for ax, lead in zip(row, (1, 2, 10), strict=True):
            np.testing.assert_allclose(drawn(ax).filled(np.nan), data.sel(lead_time=lead).sortby("lat").values)
    assert [ax.get_ylabel() for ax in axes[:, 0]] == list(rows)
    assert [ax.get_title() for ax in axes[0]] == [
        "lead 1\n2001-01-01",
        "lead 2\n2001-01-02",
        "lead 10\n2001-01-10",
    ]
    ((low, high),) = {ax.collections[0].get_clim() for ax in axes.flat}
    shown = [data.sel(lead_time=[1, 2, 10]).values for data in rows.values()]
    assert (low, high) == (0.0, pytest.approx(np.nanpercentile(shown, 98)))
    assert [bar.get_ylabel() for bar in colorbars(axes)] == ["precip [mm/day]"]
    assert all(len(ax.get_xticks()) == 0 for ax in axes.flat)


@pytest.mark.parametrize(("n_leads", "shown"), [(1, [1]), (3, [1, 2, 3]), (10, [1, 2, 3, 4, 6, 10])])
def test_film_shows_more_of_the_start_than_of_the_end(by_lead, n_leads, shown):
    film = by_lead[:n_leads].drop_vars("time")
    titles = [ax.get_title() for ax in plot_film(film, {"CNMM": film})[0]]
    assert titles == [f"lead {lead}" for lead in shown]


def test_film_of_timedeltas_and_of_dates(by_lead, observed):
    timed = by_lead.drop_vars("time").assign_coords(lead_time=pd.to_timedelta(np.arange(1, 11) * 6, unit="h"))
    assert plot_film(timed, {"CNMM": timed})[0, 1].get_title() == "lead 12 hours"
    assert plot_film(observed, {"CNMM": observed})[0, 1].get_title() == "2001-01-02"


def test_film_errors(by_lead):
    with pytest.raises(ValueError, match=r"observed has the dimensions \('lat', 'lon'\), not \(lead_time, y, x\)"):
        plot_film(by_lead[0], {"CNMM": by_lead[0]})
    with pytest.raises(ValueError, match=r"leads has \[99\], lead_time only \[1, 2, 3"):
        plot_film(by_lead, {"CNMM": by_lead}, leads=[99])
    with pytest.raises(ValueError, match=r"leads has \[99\], lead_time only"):
        plot_film(by_lead, {"CNMM": by_lead}, leads=xr.DataArray([99], dims="lead_time"))
    with pytest.raises(ValueError, match=r"axes must have the shape \(2, 1\), got \(1, 1\)"):
        plot_film(by_lead, {"CNMM": by_lead}, leads=[1], axes=plt.subplots(1, 1, squeeze=False)[1])


def test_times_that_are_numbers_are_short(observed):
    numbers = np.arange(observed.sizes["time"]) * 0.1
    seconds = observed.assign_coords(time=numbers)
    titles = [ax.get_title() for ax in plot_maps(seconds, seconds, times=list(numbers[2:4]))[0]]
    assert titles == ["time 0.2", "time 0.3"]
