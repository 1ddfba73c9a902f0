"""Labels come off once and go on once."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from archives import lazy
from hypothesis import given
from hypothesis import strategies as st

from gridcast.data.grid import Series, extend, join, unwrap, wrap

SIZES = {"sample": 2, "time": 5, "level": 3, "lat": 4, "lon": 6}


def make_series(*dims):
    """Return 0, 1, 2, ... on these dimensions, with coordinates of every kind."""
    shape = tuple(SIZES[d] for d in dims)
    coords = {
        "time": ("time", pd.date_range("2001-01-30", periods=5, freq="D"), {"long_name": "valid time"}),
        "lat": ("lat", [60.0, 50.0, 40.0, 30.0], {"units": "degrees_north"}),
        "lon": ("lon", np.arange(6) * 60.0, {"units": "degrees_east"}),
        "area": (("lat", "lon"), np.ones((4, 6))),
        "height": 2.0,
        "season": ("time", list("wwwss")),
    }
    if "level" in dims:
        coords["level"] = ("level", [1000, 500, 200])
    if "sample" in dims:
        coords["sample"] = ("sample", ["a", "b"])
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return xr.DataArray(values, dims=dims, coords=coords, name="t", attrs={"units": "K"})


ALL_DIMS = [
    ("time", "lat", "lon"),
    ("time", "level", "lat", "lon"),
    ("sample", "time", "lat", "lon"),
    ("sample", "time", "level", "lat", "lon"),
]


@pytest.mark.parametrize("dims", ALL_DIMS)
def test_wrap_undoes_unwrap(dims):
    X = make_series(*dims)
    series, calendar = unwrap(X)
    assert series.values.shape == (2 if "sample" in dims else 1, 5, 3 if "level" in dims else 1, 4, 6)
    assert str(calendar) == "1 day"
    assert len(series) == 5
    again = wrap(series.values, series.times, series)
    xr.testing.assert_identical(again, X.drop_vars("season"))
    assert again["time"].attrs == {"long_name": "valid time"}


@pytest.mark.parametrize("dims", ALL_DIMS)
def test_wrap_with_members_in_front(dims):
    X = make_series(*dims)
    series, _ = unwrap(X)
    ensemble = wrap(np.stack([series.values] * 2), series.times, series, {"member": [7, 8]})
    assert ensemble.dims == ("member", *dims)
    assert ensemble["member"].values.tolist() == [7, 8]
    xr.testing.assert_identical(ensemble[1].drop_vars("member"), X.drop_vars("season"))


def test_the_callers_array_stays_lazy_and_unshared():
    X = make_series("time", "lat", "lon").chunk(time=2)
    series, _ = unwrap(X)
    assert isinstance(series.values, da.Array)
    assert isinstance(X.data, da.Array)
    assert isinstance(series.load(1, 3), np.ndarray)
    assert isinstance(series.tail(2).values, np.ndarray)
    wrapped = wrap(series.tail(2).values, series.times[-2:], series)
    wrapped.attrs["units"] = "degC"
    wrapped["lat"].attrs["units"] = "north"
    assert X.attrs["units"] == "K"
    assert X["lat"].attrs["units"] == "degrees_north"


def test_a_file_without_chunks_becomes_lazy(tmp_path):
    make_series("time", "lat", "lon").to_netcdf(tmp_path / "t.nc")
    with xr.open_dataarray(tmp_path / "t.nc") as X:
        series, _ = unwrap(X)
        assert isinstance(series.values, da.Array)
        series.load(0, 2)
        assert not X.variable._in_memory


def test_plain_arrays_and_arrays_without_time_labels():
    values = np.zeros((5, 4, 6))
    series, calendar = unwrap(values)
    assert series.grid.dims == ("y", "x")
    assert not series.has_times
    assert series.times.tolist() == [0, 1, 2, 3, 4]
    assert str(calendar) == "1"
    unlabelled, _ = unwrap(make_series("time", "lat", "lon").drop_vars("time"))
    assert not unlabelled.has_times


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float64, bool])
def test_numbers_of_every_kind_load_as_float32(dtype):
    series, _ = unwrap(np.ones((5, 4, 6), dtype))
    assert series.load(0, 5).dtype == np.float32


def test_load_names_the_infinite_step():
    X = make_series("time", "lat", "lon")
    X[3, 0, 0] = -np.inf
    series, _ = unwrap(X)
    assert np.isfinite(series.load(0, 3)).all()
    with pytest.raises(ValueError, match=r"infinite value at time=2001-02-02 00:00:00 \(step 3\).*NaN"):
        series.load(1, 5)


@given(st.integers(0, 7))
def test_tail(n):
    series, _ = unwrap(make_series("time", "lat", "lon"))
    tail = series.tail(n)
    n = min(n, 5)
    assert len(tail) == tail.values.shape[1] == n
    assert tail.times.tolist() == series.times.tolist()[5 - n :]


@pytest.mark.parametrize("lazy", [False, True])
def test_join(lazy):
    X = make_series("time", "lat", "lon")
    first, second = unwrap(X[:3])[0], unwrap(X[3:].chunk(time=1) if lazy else X[3:])[0]
    joined = join(first, second)
    assert isinstance(joined.values, da.Array) == lazy
    xr.testing.assert_identical(wrap(joined.load(0, 5), joined.times, joined), X.drop_vars("season"))
    with pytest.raises(ValueError, match=r"X has 2 samples, the series that it continues has 1"):
        join(first, unwrap(make_series("sample", "time", "lat", "lon"))[0])


def test_extend_keeps_the_type_of_the_index():
    noleap = xr.date_range("2001-02-27", periods=4, calendar="noleap", use_cftime=True)
    assert extend(noleap[:2], noleap[2:]).equals(noleap)
    assert isinstance(extend(noleap[:2], noleap[2:]), xr.CFTimeIndex)
    dates = pd.date_range("2001", periods=4, freq="D")
    assert extend(dates[:2], dates[2:]).equals(dates)


def longitude(values, name="lon", attrs=None):
    X = xr.DataArray(np.zeros((2, 3, len(values))), dims=("time", "lat", name))
    return unwrap(X.assign_coords({name: (name, values, attrs or {})}))[0].grid


@pytest.mark.parametrize(
    ("grid", "spans"),
    [
        (longitude(np.arange(0, 360, 2.5)), True),
        (longitude(np.arange(1.25, 360, 2.5)), True),
        (longitude(np.arange(-180, 180, 30.0)), True),
        (longitude(np.arange(-180, 180, 30.0)[::-1]), True),
        (longitude(np.arange(0, 360, 2.5), "x", {"units": "degrees_east"}), True),
        (longitude(np.arange(0, 360, 2.5).astype(np.float32)), True),
        (longitude(np.linspace(0, 360, 144, endpoint=False)), True),
        (longitude(np.arange(0, 360, 2.5), "x"), False),
        (longitude(np.arange(0, 360, 2.5)[:-1]), False),
        (longitude(np.arange(0, 361, 2.5)), False),
        (longitude(np.arange(200, 330, 2.5)), False),
        (longitude(np.array([0.0, 180.0])), False),
        (longitude(list("abc")), False),
        (unwrap(np.zeros((2, 3, 4)))[0].grid, False),
    ],
)
def test_whether_a_longitude_goes_around_the_globe(grid, spans):
    assert grid.around("auto") == (False, spans)


@pytest.mark.parametrize(
    ("periodic", "around"),
    [
        ("x", (False, True)),
        ("y", (True, False)),
        (("y", "x"), (True, True)),
        (["x", "y"], (True, True)),
        ((), (False, False)),
    ],
)
def test_dimensions_that_go_around_are_named(periodic, around):
    grid = unwrap(xr.DataArray(np.zeros((2, 3, 4)), dims=("time", "y", "x")))[0].grid
    assert grid.around(periodic) == around
    with pytest.raises(ValueError, match=r"periodic='lon': 'lon' is not among the last dimensions of X, \('y', 'x'\)"):
        grid.around("lon")


def test_a_grid_without_coordinates_matches_one_with_them():
    X = make_series("time", "lat", "lon")
    labelled, bare = unwrap(X)[0].grid, unwrap(X.drop_vars(["lat", "lon"]))[0].grid
    labelled.check_same(bare)
    bare.check_same(labelled)
    labelled.check_same(unwrap(X.assign_coords(lat=X["lat"].astype(np.float32) + 1e-7))[0].grid)
    with pytest.raises(ValueError, match="other values in the coordinate 'lat'"):
        labelled.check_same(unwrap(X.assign_coords(lat=X["lat"] + 1))[0].grid)


def test_a_calendar_given_is_kept():
    X = make_series("time", "lat", "lon")
    _, calendar = unwrap(X)
    assert unwrap(X[:1], calendar)[1] is calendar
    assert unwrap(X[:1])[1] is None
    with pytest.raises(ValueError, match=r"time step 1 \(2001-02-01\).*a gap"):
        unwrap(X[::2], calendar)


def test_a_series_is_a_value():
    series, _ = unwrap(make_series("time", "lat", "lon"))
    with pytest.raises(AttributeError, match="cannot assign"):
        series.values = None
    assert isinstance(series, Series)


@pytest.mark.parametrize("stretches", [[(0, 5), (3, 7), (4, 12)], [(2, 4), (4, 6)], [(0, 3), (6, 9), (7, 10)]])
def test_overlapping_stretches_are_loaded_once(stretches):
    chunked, archive = lazy(xr.DataArray(np.arange(48.0).reshape(12, 2, 2), dims=("time", "y", "x")), 1)
    series, _ = unwrap(chunked)
    for (start, stop), block in zip(stretches, series.load_in_order(stretches), strict=True):
        assert block[0, :, 0, 0, 0].tolist() == [4.0 * step for step in range(start, stop)]
    assert archive.n_reads == len({step for start, stop in stretches for step in range(start, stop)})


@pytest.mark.parametrize("dim", ["level", "sample"])
def test_stacked_labels_are_refused_with_what_takes_them_off(dim):
    x = make_series("sample", "time", "level", "lat", "lon").drop_vars(dim)
    first, second = ["a", "b", "c"][: SIZES[dim]], [500, 850, 1000][: SIZES[dim]]
    index = pd.MultiIndex.from_arrays([first, second], names=["run", "number"])
    stacked = x.assign_coords(xr.Coordinates.from_pandas_multiindex(index, dim))
    with pytest.raises(ValueError, match=rf"stacked labels along '{dim}', of \('run', 'number'\).*X.reset_index") as e:
        unwrap(stacked)
    way_out = eval(str(e.value).rpartition("off, ")[2], {"X": stacked})
    assert unwrap(way_out)[0].values.shape == x.shape


def with_bounds(calendar, use_cftime):
    """Return two fields of months, whose labels wander by days within their bounds."""
    edges = xr.date_range("2001-01-01", periods=37, freq="MS", calendar=calendar, use_cftime=use_cftime)
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    wander = np.random.default_rng(0).integers(3, 25, 36)
    labels = [start + pd.Timedelta(days=int(days)) for start, days in zip(edges, wander, strict=False)]
    fields = {name: (("time", "lat", "lon"), np.zeros((36, 2, 3))) for name in ("t", "p")}
    cells = {"time_bnds": (("time", "bnds"), bounds), "lat_bnds": (("lat", "bnds"), np.zeros((2, 2))), "crs": 0}
    return xr.Dataset(cells | fields, coords={"time": ("time", labels, {"bounds": "time_bnds"})})


@pytest.mark.parametrize("calendar", ["standard", "360_day", "noleap"])
def test_bounds_give_labels_that_follow_a_rule_by_the_advice(calendar):
    ds = with_bounds(calendar, calendar != "standard")
    with pytest.raises(ValueError, match=r"wander.* take the middles of the bounds") as caught:
        unwrap(ds["t"])
    advice = str(caught.value).split("in the dataset `ds`, ")[1].removesuffix(".")
    X = eval(advice, {"X": ds["t"], "ds": ds})
    _, rule = unwrap(X[:24])
    assert rule.after(X.indexes["time"][23], 12).equals(X.indexes["time"][24:])


def test_numbers_since_a_date_are_decoded_by_the_advice():
    ds = with_bounds("standard", False).assign_coords(time=pd.date_range("2001-01-01", periods=36, freq="MS"))
    days = (ds.time - ds.time[0]) / np.timedelta64(1, "D")
    X = ds["t"].assign_coords(time=("time", days.values, {"units": "days since 2001-01-01"}))
    with pytest.raises(ValueError, match="decode them, ") as caught:
        unwrap(X)
    decoded = eval(str(caught.value).split("decode them, ")[1].removesuffix("."), {"X": X, "xr": xr})
    assert decoded.indexes["time"].equals(ds.indexes["time"])
    unwrap(decoded)
    with pytest.raises(ValueError, match=r"months counted in days: date them, ") as caught:
        unwrap(X.assign_coords(time=days.values))
    dates = str(caught.value).split("date them, ")[1].split(" with your")[0]
    assert eval(dates, {"X": X, "pd": pd}).indexes["time"].equals(ds.indexes["time"])


def test_the_fields_among_bounds_of_a_dataset_are_named():
    ds = with_bounds("standard", False)
    with pytest.raises(TypeError, match=r"select one, ds\['t'\], or stack them as channels, (.*)$") as caught:
        unwrap(ds)
    X = eval(str(caught.value).split("as channels, ")[1], {"ds": ds})
    assert X.dims == ("time", "variable", "lat", "lon")
