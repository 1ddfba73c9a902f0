"""The picture of the README: what it says is what it draws."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "picture.py"


@pytest.fixture
def picture():
    spec = importlib.util.spec_from_file_location("picture", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_maps_have_their_lead_times_errors_and_units(picture):
    coords = {
        "time": pd.date_range("2014-01-01", periods=6, freq="6h"),
        "lat": [60.0, 40.0],
        "lon": [210.0, 270.0, 330.0],
    }
    air = xr.DataArray(270.0 + np.random.default_rng(0).random((6, 2, 3)), coords=coords, attrs={"units": "K"})
    ensemble = xr.concat([air[1:] + 1.0, air[1:] + 3.0], "member")
    figure = picture.draw(ensemble, air[1:], air[0])
    *maps, left, right = figure.axes
    assert [ax.get_ylabel() for ax in maps[::3]] == [
        "6 hours ahead\n01 Jan 2014, 06 UTC",
        "30 hours ahead\n02 Jan 2014, 06 UTC",
    ]
    for row, step in ((0, 1), (1, 5)):
        drawn = [ax.collections[0] for ax in maps[3 * row : 3 * row + 3]]
        np.testing.assert_array_equal(drawn[0].get_array(), air[step])
        np.testing.assert_allclose(drawn[1].get_array(), air[step] + 2.0)
        np.testing.assert_allclose(drawn[2].get_array(), np.sqrt(2.0))
        assert drawn[0].get_clim() == drawn[1].get_clim() == (270.0, 275.0)
        weights = np.repeat(np.cos(np.deg2rad([60.0, 40.0])), 3)
        naive = np.sqrt(np.average((air[step] - air[0]).values.ravel() ** 2, weights=weights))
        assert maps[3 * row + 1].texts[0].get_text() == f"RMSE 2.0 K, persistence {naive:.1f} K"
    assert "[K]" in left.get_xlabel()
    assert "[K]" in right.get_xlabel()
