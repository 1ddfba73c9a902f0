"""Maps in a projection, with a stand-in for cartopy where it is not installed."""

import sys
import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes

from gridcast.plotting import plot_error_maps, plot_film, plot_maps


class MapAxes(Axes):
    """What the figures use of cartopy's axes; it keeps the transform of its cells."""

    name = "map of a test"

    def __init__(self, *args, projection, **kwargs):
        super().__init__(*args, **kwargs)
        self.projection = projection
        self.coast = 0
        self.degrees = []

    def pcolormesh(self, *args, transform, **kwargs):
        self.cells_in = transform
        return super().pcolormesh(*args, **kwargs)

    def coastlines(self, **kwargs):
        self.coast += 1

    def gridlines(self, draw_labels=None, **kwargs):
        self.degrees += list(draw_labels or ())


class Projection:
    x_limits, y_limits = (-180.0, 180.0), (-90.0, 90.0)

    def __init__(self, central_longitude=0.0):
        self.central_longitude = central_longitude

    def _as_mpl_axes(self):
        return MapAxes, {"projection": self}


class PlateCarree(Projection):
    pass


class Robinson(Projection):
    pass


@pytest.fixture
def crs(monkeypatch):
    """Stand in for cartopy, which tests must not need."""
    crs = types.ModuleType("cartopy.crs")
    crs.Projection, crs.PlateCarree, crs.Robinson = Projection, PlateCarree, Robinson
    cartopy = types.ModuleType("cartopy")
    cartopy.crs = crs
    monkeypatch.setitem(sys.modules, "cartopy", cartopy)
    monkeypatch.setitem(sys.modules, "cartopy.crs", crs)
    return crs


def test_projected_maps_are_centred_on_the_data_without_coastlines(crs, observed, forecast):
    axes = plot_maps(observed, forecast, projection="PlateCarree")
    for ax in axes.flat:
        assert type(ax.projection) is type(ax.cells_in) is PlateCarree
        assert ax.projection.central_longitude == 25.0
        assert ax.cells_in.central_longitude == 0.0
        assert ax.coast == 0
        assert ax.get_facecolor() == (0.75, 0.75, 0.75, 1.0)
        assert ax.collections[0].cmap.get_bad()[3] == 0.0
    np.testing.assert_allclose(axes[0, 0].collections[0].get_array().filled(np.nan), observed[4].values)
    assert [[text.get_text() for text in ax.texts] for ax in axes[:, 0]] == [["truth"], ["forecast"], ["error"]]
    assert axes[0, 0].degrees == ["left"]
    assert axes[2, 0].degrees == ["left", "bottom"]
    assert axes[2, 1].degrees == ["bottom"]


def test_cells_of_a_global_map_end_at_the_poles(crs):
    globe = xr.DataArray(
        np.ones((1, 3, 4)),
        dims=("time", "latitude", "longitude"),
        coords={"latitude": [-90.0, 0.0, 90.0], "longitude": [0.0, 90.0, 180.0, 270.0]},
    )
    (mesh,) = plot_maps(globe, globe, projection="Robinson")[0, 0].collections
    y = mesh.get_coordinates()[:, 0, 1]
    np.testing.assert_array_equal(y, [-90.0, -45.0, 45.0, 90.0])


def test_a_projection_may_be_an_instance_and_coastlines_are_asked_for(crs, observed, by_lead):
    mine = Robinson(central_longitude=7.0)
    axes = plot_film(by_lead, {"CNMM": by_lead}, projection=mine, coastlines=True)
    assert {ax.projection for ax in axes.flat} == {mine}
    assert {ax.coast for ax in axes.flat} == {1}
    assert axes[0, 0].degrees == []
    assert [ax.texts[0].get_text() for ax in axes[:, 0]] == ["truth", "CNMM"]
    (ax,) = plot_error_maps(observed, {"CNMM": observed}, projection=mine, coastlines=True)
    assert (ax.projection, ax.coast) == (mine, 1)


def test_given_maps_keep_their_projection(crs, observed):
    axes = plt.figure().subplots(3, 1, squeeze=False, subplot_kw={"projection": Robinson()})
    plot_maps(observed, observed, times=["2001-01-03"], axes=axes)
    assert isinstance(axes[0, 0].cells_in, PlateCarree)
    with pytest.raises(ValueError, match="give projection or axes, not both"):
        plot_maps(observed, observed, times=["2001-01-03"], axes=axes, projection="Robinson")


def test_projection_errors(crs, observed):
    with pytest.raises(ValueError, match=r"projection='Globe' is no projection of cartopy\.crs: use a name such as"):
        plot_maps(observed, observed, projection="Globe")
    with pytest.raises(ValueError, match="projection=3 is no projection"):
        plot_maps(observed, observed, projection=3)
    with pytest.raises(ValueError, match=r"latitude and longitude; among \['y', 'lon', 'time'\] .* named lat and lon"):
        plot_maps(*[observed.rename(lat="y")] * 2, projection="Robinson")
    with pytest.raises(ValueError, match="coastlines=True needs a map projection"):
        plot_maps(observed, observed, coastlines=True)


def test_units_tell_latitude_and_longitude_as_well(crs, observed):
    renamed = observed.rename(lat="j", lon="i")
    renamed["j"].attrs["units"], renamed["i"].attrs["units"] = "degrees_north", "degrees_east"
    assert isinstance(plot_maps(renamed, renamed, projection="Robinson")[0, 0], MapAxes)


def test_without_cartopy_a_projection_names_the_way_out(monkeypatch, observed):
    monkeypatch.setitem(sys.modules, "cartopy", None)
    monkeypatch.setitem(sys.modules, "cartopy.crs", None)
    with pytest.raises(ImportError, match=r"projection='Robinson' needs cartopy, .*`pip install cartopy`, or leave"):
        plot_maps(observed, observed, projection="Robinson")
    assert plot_maps(observed, observed).shape == (3, 4)


def test_maps_of_the_real_cartopy(observed, forecast):
    crs = pytest.importorskip("cartopy.crs")
    axes = plot_maps(observed, forecast, projection="Robinson")
    axes[0, 0].figure.canvas.draw()
    for ax in axes.flat:
        assert isinstance(ax.projection, crs.Robinson)
        assert ax.projection.proj4_params["lon_0"] == 25.0
    np.testing.assert_allclose(axes[0, 0].collections[0].get_array().filled(np.nan), observed[4].values)
