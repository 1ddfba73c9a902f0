"""The relative operating characteristic: curves, areas and what is no curve."""

import numpy as np
import pytest
import xarray as xr

from gridcast.metrics import roc
from gridcast.plotting import plot_roc
from gridcast.plotting._style import new_axes


@pytest.fixture
def curve():
    ensemble = xr.DataArray([[0.0, 0.0, 5.0, 5.0], [0.0, 5.0, 0.0, 5.0]], dims=("member", "time"))
    return roc(ensemble, xr.DataArray([0.0, 4.0, 0.0, 4.0], dims="time"), 1.0)


def test_curves_and_their_areas(curve):
    given = new_axes(3.0, 3.0)
    ax = plot_roc({"CNMM": curve, "persistence": curve}, ax=given)
    assert ax is given
    labels = ["CNMM, area 0.88", "persistence, area 0.88", "no skill"]
    assert [line.get_label() for line in ax.lines] == labels
    assert [text.get_text() for text in ax.get_legend().get_texts()] == labels
    # The first case and the third have no event; the second and the fourth have.
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1.0, 1.0], [0.5, 1.0], [0.0, 0.5], [0.0, 0.0]])
    np.testing.assert_array_equal(ax.lines[2].get_xydata(), [[0.0, 0.0], [1.0, 1.0]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("false-alarm rate", "hit rate")
    assert ax.get_aspect() == 1.0


def test_what_is_no_curve_is_an_error(curve):
    with pytest.raises(ValueError, match="curves is empty: give one model or more"):
        plot_roc({})
    with pytest.raises(TypeError, match=r"curves\['CNMM'\] must be a Dataset, not DataArray"):
        plot_roc({"CNMM": curve["hit_rate"]})
    with pytest.raises(ValueError, match=r"curves\['CNMM'\] lacks \['roc_area'\]: give gridcast\.metrics\.roc"):
        plot_roc({"CNMM": curve.drop_vars("roc_area")})
    with pytest.raises(ValueError, match=r"curves\['CNMM'\] has the dimensions .*averaged over all"):
        plot_roc({"CNMM": curve.expand_dims(lead_time=2)})
