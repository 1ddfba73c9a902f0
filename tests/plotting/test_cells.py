"""Cells of curvilinear grids, of turned and of unsorted ones lie where their positions say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from scipy.spatial.transform import Rotation

from gridcast.plotting import plot_error_maps, plot_film, plot_maps
from gridcast.plotting._cells import corners, edges, is_plane

LAT, LON = np.meshgrid(np.arange(-20.0, 21.0, 4.0), np.arange(-30.0, 31.0, 5.0), indexing="ij")


def vectors(latitude, longitude):
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def turned(latitude, longitude, angles):
    x, y, z = np.moveaxis(vectors(latitude, longitude) @ Rotation.from_euler("yz", angles).as_matrix().T, -1, 0)
    return np.rad2deg(np.arctan2(z, np.hypot(x, y))), np.rad2deg(np.arctan2(y, x))


def curvilinear(latitude, longitude, dims=("y", "x"), **attrs):
    """Return one step of data with positions over both dimensions."""
    values = np.random.default_rng(0).random((1, *latitude.shape))
    coords = {"time": [0], "nav_lat": (dims, latitude), "nav_lon": (dims, longitude)}
    return xr.DataArray(values, dims=("time", *dims), coords=coords)


def mesh_of(data, **options):
    ax = plot_maps(data, data, **options)[0, 0]
    return ax.collections[0]


def test_corners_of_a_regular_grid_lie_between_its_centres():
    y, x = corners(LAT, LON)
    np.testing.assert_allclose(y, np.linspace(-22, 22, 12)[:, None] + np.zeros(14), atol=0.1)
    np.testing.assert_allclose(x, np.linspace(-32.5, 32.5, 14) + np.zeros((12, 1)), atol=0.1)


@pytest.mark.parametrize("angles", [(0.0, np.pi), (0.7, 1.0), (np.pi / 2, 0.3)], ids=["date line", "bent", "pole"])
def test_corners_turn_with_the_grid(angles):
    expected = vectors(*turned(*corners(LAT, LON), angles))
    np.testing.assert_allclose(vectors(*corners(*turned(LAT, LON, angles))), expected, atol=1e-12)


def test_degrees_are_plane_unless_a_cell_lies_over_a_pole():
    assert is_plane(corners(*turned(LAT, LON, (0.0, np.pi)))[1])
    assert is_plane(corners(*turned(LAT, LON, (0.7, 1.0)))[1])
    assert not is_plane(corners(*turned(LAT, LON, (np.pi / 2, 0.3)))[1])


def test_curvilinear_cells_are_drawn_around_their_positions():
    latitude, longitude = turned(LAT, LON, (-0.5, np.pi))  # over the date line
    data = curvilinear(latitude, longitude)
    mesh = mesh_of(data)
    centres = mesh.get_coordinates()
    centres = (centres[1:, 1:] + centres[1:, :-1] + centres[:-1, 1:] + centres[:-1, :-1]) / 4
    np.testing.assert_allclose(centres[..., 1], latitude, atol=0.5)
    np.testing.assert_allclose((centres[..., 0] - longitude + 180) % 360 - 180, 0, atol=0.5)
    assert abs(np.diff(centres[..., 0], axis=1)).max() < 20
    np.testing.assert_array_equal(mesh.get_array(), data[0].values)
    assert (mesh.axes.get_ylabel(), mesh.axes.figure.axes[2].get_xlabel()) == ("truth\nnav_lat", "nav_lon")


def test_plain_axes_count_the_cells_of_a_grid_over_a_pole():
    mesh = mesh_of(curvilinear(*turned(LAT, LON, (np.pi / 2, 0.3))))
    assert mesh.axes.get_xlim() == (-0.5, LAT.shape[1] - 0.5)
    assert mesh.axes.get_ylabel() == "truth\ny"


def test_positions_in_the_other_order_are_the_same():
    data = curvilinear(*turned(LAT, LON, (0.4, 0.0)))
    other = data.assign_coords(nav_lon=data["nav_lon"].T, nav_lat=data["nav_lat"].T)
    np.testing.assert_array_equal(mesh_of(other).get_coordinates(), mesh_of(data).get_coordinates())


def test_cells_without_a_position_are_missing_and_do_not_move_the_others():
    latitude, longitude = turned(LAT, LON, (0.4, 0.0))
    whole = mesh_of(curvilinear(latitude, longitude)).get_coordinates()
    latitude[:3, :3] = np.nan
    mesh = mesh_of(curvilinear(latitude, longitude))
    np.testing.assert_array_equal(mesh.get_array().mask, np.isnan(latitude))
    np.testing.assert_array_equal(mesh.get_coordinates()[4:, 4:], whole[4:, 4:])


def globe(longitude):
    rng = np.random.default_rng(0)
    coords = {"time": [0, 1], "lat": [-60.0, 0.0, 60.0], "lon": longitude}
    return xr.DataArray(rng.random((2, 3, len(longitude))), dims=("time", "lat", "lon"), coords=coords)


def test_longitude_before_latitude_is_turned():
    data = globe(np.arange(0.0, 360, 30))
    turn = data.transpose("time", "lon", "lat")
    np.testing.assert_array_equal(mesh_of(turn).get_coordinates(), mesh_of(data).get_coordinates())
    np.testing.assert_array_equal(mesh_of(turn).get_array(), data[0].values)
    for axes in (plot_error_maps(turn, {"a": turn + 1.0}), plot_film(turn, {"a": turn})[0]):
        assert axes[0].collections[0].get_array().shape == (3, 12)


def test_longitudes_beyond_the_date_line_go_on():
    wrapped = globe((np.arange(0.0, 360, 30) + 180) % 360 - 180)  # 0 ... 150, -180 ... -30
    np.testing.assert_allclose(edges(wrapped, "lon"), np.arange(-15, 346, 30))
    np.testing.assert_array_equal(edges(globe([0.0, 200.0]), "lon"), [-100, 100, 300])


def test_a_projection_refuses_unsorted_positions_with_advice_that_works():
    crs = pytest.importorskip("cartopy.crs")
    shuffled = globe(np.random.default_rng(1).permutation(np.arange(0.0, 360, 30)))
    with pytest.raises(ValueError, match=r"'lon' neither rises nor falls .* data.sortby\('lon'\)$"):
        plot_maps(shuffled, shuffled, projection="Robinson")
    assert isinstance(plot_maps(*[shuffled.sortby("lon")] * 2, projection="Robinson")[0, 0].projection, crs.Robinson)


@pytest.mark.parametrize("angles", [(0.0, np.pi), (0.7, 1.0), (np.pi / 2, 0.3)], ids=["date line", "bent", "pole"])
def test_a_projection_draws_any_curvilinear_grid(angles):
    crs = pytest.importorskip("cartopy.crs")
    latitude, longitude = turned(LAT, LON, angles)
    data = curvilinear(latitude, longitude)
    given = plt.figure().subplots(3, 1, squeeze=False, subplot_kw={"projection": crs.SouthPolarStereo()})
    for options in ({"projection": "SouthPolarStereo"}, {"axes": given}):
        mesh = mesh_of(data, **options)
        mesh.axes.figure.canvas.draw()
        drawn = vectors(*np.moveaxis(mesh.get_coordinates(), -1, 0)[::-1])
        np.testing.assert_allclose(drawn, vectors(*corners(latitude, longitude)), atol=1e-12)
