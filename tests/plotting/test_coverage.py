"""Coverage by lead time: lines, bands and the level that they are held against."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast import metrics
from gridcast.plotting import plot_coverage_by_lead
from gridcast.plotting._style import new_axes


@pytest.fixture
def share():
    rng = np.random.default_rng(0)
    leads = {"lead_time": pd.to_timedelta([1, 2, 3], "D")}
    ensemble = xr.DataArray(rng.normal(size=(9, 40, 3)), dims=("member", "init_time", "lead_time"), coords=leads)
    observed = xr.DataArray(rng.normal(size=(40, 3)), dims=("init_time", "lead_time"), coords=leads)
    return metrics.coverage(ensemble, observed, 0.8, dim="init_time")


def test_lines_bands_and_level(share):
    given = new_axes(3.0, 3.0)
    ax = plot_coverage_by_lead({"CNMM": (share, share - 0.1, share + 0.1), "DMM": share}, level=0.8, ax=given)
    assert ax is given
    labels = ["CNMM", "DMM", "calibrated"]
    assert [line.get_label() for line in ax.lines] == labels
    assert [text.get_text() for text in ax.get_legend().get_texts()] == labels
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), share)
    assert set(ax.lines[2].get_ydata()) == {0.8}
    assert len(ax.collections) == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lead time [days]", "coverage of the 80 % interval")
    assert ax.get_ylim() == (0.0, 1.0)


def test_what_is_no_coverage_by_lead_is_an_error(share):
    for level in (0.0, 1.0, 90):
        with pytest.raises(ValueError, match=f"level={level!r} must lie between 0 and 1"):
            plot_coverage_by_lead({"CNMM": share}, level=level)
    with pytest.raises(ValueError, match="coverages must hold models of one unit"):
        plot_coverage_by_lead({})
    with pytest.raises(TypeError, match=r"coverages\['CNMM'\] must be a DataArray, not ndarray"):
        plot_coverage_by_lead({"CNMM": share.values})
    with pytest.raises(ValueError, match=r"coverages\['CNMM'\] has dimensions \('level', 'lead_time'\)"):
        plot_coverage_by_lead({"CNMM": share.expand_dims(level=2)})
    steps = share.assign_coords(lead_time=[1, 2, 3])
    with pytest.raises(ValueError, match="coverages count lead_time in steps and in time"):
        plot_coverage_by_lead({"CNMM": share, "DMM": steps})
