"""Grids around the globe."""

import numpy as np
import pytest
import xarray as xr

from gridcast.data.geography import advice, around_the_globe, is_named, positions

LON = np.arange(36) * 10.0


def coords(values, dims=("x",), name="lon", **attrs):
    return {name: xr.DataArray(values, dims=dims, name=name, attrs=attrs)}


@pytest.mark.parametrize(
    ("values", "closed"),
    [
        (LON, True),
        (LON.astype(np.float32) + 0.1, True),
        ((LON + 180) % 360 - 180, True),  # wrapped, not sorted
        (LON[::-1], True),
        (np.array([0.0, 120, 240]), True),
        (LON[:-1], False),
        (np.append(LON, 360), False),
        (LON / 2, False),
        (np.array([0.0, 180]), False),
    ],
)
def test_columns_that_go_around(values, closed):
    assert around_the_globe(coords(values), ("y", "x")) is closed


def test_a_curvilinear_grid_goes_around_where_its_rows_do():
    x, y = np.meshgrid(LON, np.arange(20.0))
    bent = (x + 70 + 5 * np.sin(np.deg2rad(x)) * y / 20) % 360 - 180
    assert around_the_globe(coords(bent, ("y", "x"), "nav_lon"), ("channel", "y", "x"))
    assert not around_the_globe(coords(bent[:, :-4], ("y", "x"), "nav_lon"), ("y", "x"))
    assert around_the_globe(coords(bent.T, ("x", "y"), "nav_lon"), ("channel", "y", "x"))
    turned = coords(bent.T, ("x", "y"), "nav_lon")
    assert not around_the_globe(turned, ("time", "x", "y"))
    assert "X.transpose('time', 'y', 'x')" in advice(turned, ("time", "x", "y"))
    assert advice(turned, ("time", "y", "x")) is None


def test_advice_for_a_grid_that_is_not_known_as_it_stands():
    assert advice(coords(LON), ("time", "y", "x")) is None
    assert "X.transpose('time', 'y', 'x')" in advice(coords(LON), ("time", "x", "y"))
    shuffled = np.random.default_rng(0).permutation(LON)
    assert "X.sortby('lon')" in advice(coords(shuffled), ("time", "y", "x"))
    assert advice(coords(shuffled[:20]), ("time", "y", "x")) is None
    cyclic = np.append(LON, LON[0] + 360)
    assert "X.isel({'x': slice(-1)})" in advice(coords(cyclic), ("time", "y", "x"))
    assert "X.isel({'x': slice(-1)})" in advice(coords(cyclic[::-1] - 180), ("time", "y", "x"))
    assert advice(coords(cyclic[:-1]), ("time", "y", "x")) is None


@pytest.mark.parametrize(
    ("name", "attrs", "what", "named"),
    [
        ("lat", {}, "latitude", True),
        ("XLONG", {}, "longitude", True),
        ("a", {"units": "degrees_east"}, "longitude", True),
        ("a", {"standard_name": "latitude"}, "latitude", True),
        ("x", {"standard_name": "projection_x_coordinate", "units": "degrees_east"}, "longitude", False),
        ("rlat", {"standard_name": "grid_latitude", "units": "degrees_north"}, "latitude", False),
        ("a", {"units": "degrees"}, "latitude", False),
    ],
)
def test_what_a_coordinate_is(name, attrs, what, named):
    assert is_named(coords([0.0], name=name, **attrs)[name], what) is named


def test_positions_are_found_over_one_dimension_or_both():
    regular = xr.DataArray(np.zeros((2, 3)), coords={"lat": [0.0, 1.0], "lon": [0.0, 1.0, 2.0]})
    assert [c.name for c in positions(regular)] == ["lat", "lon"]
    assert [c.name for c in positions(regular.T)] == ["lat", "lon"]
    both = {"nav_lat": (("lat", "lon"), np.zeros((2, 3))), "nav_lon": (("lon", "lat"), np.zeros((3, 2)))}
    assert [c.name for c in positions(regular.assign_coords(both))] == ["lat", "lon"]
    rotated = regular.rename(lat="rlat", lon="rlon").assign_coords(
        {name: (["r" + d for d in dims], values) for name, (dims, values) in both.items()}
    )
    assert [c.name for c in positions(rotated)] == ["nav_lat", "nav_lon"]
    assert positions(rotated.drop_vars("nav_lon")) is None
    repeated = rotated["nav_lat"].expand_dims(time=2), rotated["nav_lon"].expand_dims(time=2)
    wrf = xr.concat([rotated, rotated], "time").assign_coords(nav_lat=repeated[0], nav_lon=repeated[1])
    assert [c.dims for c in positions(wrf)] == [("rlat", "rlon"), ("rlon", "rlat")]
    moving = wrf.assign_coords(nav_lat=wrf["nav_lat"] + xr.DataArray([0.0, 1.0], dims="time"))
    assert positions(moving) is None
