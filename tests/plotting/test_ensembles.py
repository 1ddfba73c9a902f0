"""Ensembles: histograms, diagrams and bands against values by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast import metrics
from gridcast.plotting import plot_fan, plot_rank_histogram, plot_reliability, plot_spread_skill


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
    with pytest.raises(ValueError, match="observed and forecast differ along 'time'"):
        plot_spread_skill(labelled, truth.assign_coords(time=range(1, 6)))


def heights(ax) -> list[float]:
    return [bar.get_height() for bar in ax.patches]


def test_ranks_count_members_below_the_observation():
    ensemble = xr.DataArray([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, np.nan]], dims=("number", "time"))
    truth = xr.DataArray([0.0, 1.5, 9.0, 1.0], dims="time")
    ax = plot_rank_histogram(ensemble, truth, member_dim="number")
    np.testing.assert_allclose(heights(ax), [1 / 3, 1 / 3, 1 / 3])
    shifted = plot_rank_histogram(ensemble, truth + 1.0, member_dim="number")
    np.testing.assert_allclose(heights(shifted), [1 / 6, 1 / 6, 2 / 3])
    np.testing.assert_allclose(shifted.lines[0].get_ydata(), 1 / 3)
    assert shifted.get_xlabel() == "rank of the observation among 2 members"


def test_ties_are_shared_between_the_ranks_they_could_have():
    ensemble = xr.DataArray([[0.0, 0.0], [0.0, 5.0], [7.0, 6.0]], dims=("member", "time"))
    ax = plot_rank_histogram(ensemble, xr.DataArray([0.0, 5.5], dims="time"))
    np.testing.assert_allclose(heights(ax), [1 / 6, 1 / 6, 1 / 6 + 1 / 2, 0.0])


def test_a_calibrated_ensemble_is_flat_and_an_overconfident_one_a_u():
    ensemble, truth = ensemble_and_truth(9, 20_000)
    np.testing.assert_allclose(heights(plot_rank_histogram(ensemble, truth)), 0.1, atol=0.01)
    ends = heights(plot_rank_histogram(0.3 * ensemble, truth))
    assert min(ends[0], ends[-1]) > 0.25 > 0.1 > max(ends[3:7])


def test_reliability_by_hand():
    # Probabilities 0, 0.25, 0.25, 0.5 and 1 of 1 or more, which 1 itself is.
    ensemble = xr.DataArray(
        [[0, 2, 2, 2, 2], [0, 0, 0, 2, 2], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]], dims=("member", "time")
    )
    truth = xr.DataArray([0.0, 1.0, 0.0, 5.0, 5.0], dims="time", attrs={"units": "K"})
    ax = plot_reliability(ensemble, truth, threshold=1.0, n_bins=4)
    bins, diagonal, frequency = ax.lines
    np.testing.assert_allclose(bins.get_xydata(), [[0.0, 0.0], [0.25, 0.5], [0.5, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    np.testing.assert_allclose(frequency.get_ydata(), 0.6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("forecast probability of value ≥ 1 K", "observed frequency")
    (inset,) = ax.child_axes
    np.testing.assert_allclose(heights(inset), [0.2, 0.4, 0.2, 0.2])


def test_reliability_leaves_missing_cells_and_empty_bins_out():
    ensemble, truth = ensemble_and_truth(10, 5_000)
    truth[:2_500] = np.nan
    bins = plot_reliability(ensemble, truth, threshold=0.0, n_bins=5).lines[0]
    np.testing.assert_allclose(bins.get_ydata(), 0.5, atol=0.06)
    single = plot_reliability(ensemble[:1], truth, threshold=0.0).lines[0]
    np.testing.assert_array_equal(single.get_xdata(), [0.0, 1.0])


@pytest.mark.parametrize("n_above", [0, 1, 29, 57, 99])
def test_probabilities_on_the_border_of_a_bin_lie_above_it(n_above):
    ensemble = xr.DataArray(np.arange(100.0)[:, None] < n_above, dims=("member", "time")).astype(float)
    ax = plot_reliability(ensemble, xr.DataArray([1.0], dims="time"), threshold=0.5, n_bins=100)
    assert np.flatnonzero(heights(ax.child_axes[0])).tolist() == [n_above]


@pytest.mark.parametrize("plot", [plot_rank_histogram, lambda *args, **kwargs: plot_reliability(*args, threshold=0.0)])
def test_ensemble_errors(plot):
    ensemble, truth = ensemble_and_truth(2, 5)
    with pytest.raises(ValueError, match=r"forecast has no member: 'member' is not in \('time',\), set member_dim"):
        plot(truth, truth)
    with pytest.raises(ValueError, match="no cell in common that is not missing"):
        plot(ensemble, truth * np.nan)
    with pytest.raises(ValueError, match=r"observed has the dimension 'lat', .*observed.isel\(lat=0\)"):
        plot(ensemble, truth.expand_dims("lat"))
    with pytest.raises(TypeError, match="observed must be a DataArray, not ndarray"):
        plot(ensemble, truth.values)
    with pytest.raises(ValueError, match="observed and forecast differ along 'time'"):
        plot(ensemble.assign_coords(time=range(5)), truth.assign_coords(time=range(1, 6)))


def test_reliability_needs_a_bin():
    with pytest.raises(ValueError, match="n_bins=0 must be 1 or more"):
        plot_reliability(*ensemble_and_truth(2, 5), threshold=0.0, n_bins=0)


@pytest.fixture
def quantiles() -> xr.DataArray:
    """Five quantiles of four days at one point, in no order."""
    q = np.array([0.5, 0.05, 0.95, 0.25, 0.75])
    times = pd.date_range("2001-01-05", periods=4)
    values = 10.0 * q[:, None] + np.arange(4.0)
    return xr.DataArray(values, coords={"quantile": q, "time": times}, name="t2m", attrs={"units": "K"})


def band(collection) -> tuple[float, float]:
    """Return the borders of a band at its first step."""
    corners = collection.get_paths()[0].vertices
    at_start = corners[corners[:, 0] == corners[:, 0].min(), 1]
    return at_start.min(), at_start.max()


def test_fan_has_a_band_for_each_pair_of_quantiles(quantiles):
    observed = xr.DataArray(np.arange(6.0), coords={"time": pd.date_range("2001-01-03", periods=6)})
    ax = plot_fan(quantiles, observed)
    assert [band(collection) for collection in ax.collections] == [(0.5, 9.5), (2.5, 7.5)]
    median, truth = ax.lines
    np.testing.assert_array_equal(median.get_ydata(), quantiles.sel(quantile=0.5))
    np.testing.assert_array_equal(median.get_xdata(), quantiles["time"].values)
    np.testing.assert_array_equal(truth.get_ydata(), observed)
    np.testing.assert_array_equal(truth.get_xdata(), observed["time"].values)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["5 % to 95 %", "25 % to 75 %", "median", "observed"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time", "t2m [K]")
    ax.figure.canvas.draw()
    assert "2001-Jan" in ax.xaxis.get_offset_text().get_text()


def test_fan_over_lead_times(quantiles):
    leads = quantiles.rename(time="lead_time").assign_coords(lead_time=pd.to_timedelta([6, 12, 18, 24], unit="h"))
    ax = plot_fan(leads, leads.sel(quantile=0.5, drop=True))
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [6, 12, 18, 24])
    assert ax.get_xlabel() == "lead time [hours]"
    dated = leads.assign_coords(time=("lead_time", quantiles["time"].values))
    np.testing.assert_array_equal(plot_fan(dated).lines[0].get_xdata(), quantiles["time"].values)
    plain = plot_fan(quantiles.drop_vars("time"))
    np.testing.assert_array_equal(plain.lines[0].get_xdata(), [1, 2, 3, 4])


def test_fan_of_another_calendar_has_its_dates(quantiles):
    def dates(start: str) -> xr.DataArray:
        return xr.date_range(start, periods=4, calendar="360_day", use_cftime=True)

    observed = quantiles.sel(quantile=0.5, drop=True).assign_coords(time=dates("2001-02-27"))
    ax = plot_fan(quantiles.assign_coords(time=dates("2001-02-29")), observed)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [2, 3, 4, 5])
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [0, 1, 2, 3])
    assert ax.xaxis.get_major_formatter()(3.0) == "2001-02-30"
    with pytest.raises(ValueError, match="times of different kinds: convert one of them first"):
        plot_fan(quantiles, observed)


def test_fan_of_other_quantiles_and_a_single_step(quantiles):
    pair = plot_fan(quantiles.sel(quantile=[0.25, 0.95])[:, :1])
    assert [text.get_text() for text in pair.get_legend().get_texts()] == ["25 % to 95 %"]
    one = plot_fan(quantiles.sel(quantile=[0.95])[:, :1])
    assert [text.get_text() for text in one.get_legend().get_texts()] == ["95 %"]
    assert one.lines[0].get_marker() == "o"


def test_fan_errors(quantiles):
    with pytest.raises(ValueError, match=r"quantiles has dimensions .*'lat'.*select a point, a sample and a channel"):
        plot_fan(quantiles.expand_dims("lat"))
    with pytest.raises(ValueError, match=r"without 'quantile': give predict_quantiles"):
        plot_fan(quantiles.isel(quantile=0))
    with pytest.raises(ValueError, match="the point is never observed"):
        plot_fan(quantiles * np.nan)
    with pytest.raises(ValueError, match=r"observed has dimensions \('quantile', 'time'\), not \('time',\)"):
        plot_fan(quantiles, quantiles)
    with pytest.raises(TypeError, match="quantiles must be a DataArray, not list"):
        plot_fan([1.0])
