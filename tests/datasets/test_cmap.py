from pathlib import Path

import dask
import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast.datasets import make_precipitation, open_cmap

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MISSING = np.float32(-9.96921e36)

pytestmark = pytest.mark.filterwarnings("error")


def real_file(name):
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not in {DATA}")
    return DATA / name


def write_pentads(path, values, time, missing=MISSING, format="NETCDF4_CLASSIC", **attrs):
    """Write a file in the format of NOAA PSL's precip.pentad.mean.nc."""
    with netCDF4.Dataset(path, "w", format=format) as file:
        for name, size in {"lon": 144, "lat": 72, "time": None}.items():
            file.createDimension(name, size)
        lat = file.createVariable("lat", "f4", ("lat",))
        lat.setncatts({"units": "degrees_north", "standard_name": "latitude", "axis": "Y"})
        lat[:] = np.linspace(88.75, -88.75, 72)
        lon = file.createVariable("lon", "f4", ("lon",))
        lon.setncatts({"units": "degrees_east", "standard_name": "longitude", "axis": "X"})
        lon[:] = np.linspace(1.25, 358.75, 144)
        hours = file.createVariable("time", "f8", ("time",))
        hours.setncatts({"units": "hours since 1800-01-01 00:00:0.0", "delta_t": "0000-00-05 00:00:00"})
        hours[:] = (time - np.datetime64("1800-01-01")) / np.timedelta64(1, "h")
        precip = file.createVariable("precip", "f4", ("time", "lat", "lon"), fill_value=False)
        described = {
            "long_name": "Pentad Mean of Precipitation Rate",
            "units": "mm/day",
            "precision": np.int16(2),
        }
        precip.setncatts({**described, "missing_value": missing, **attrs})
        precip[:] = values
    return path


@pytest.fixture
def pentads():
    """Three months, the first cells of which are missing."""
    precip = make_precipitation(20, random_state=0)
    precip[:, 0, :3] = np.nan
    return precip


@pytest.fixture
def path(tmp_path, pentads):
    return write_pentads(tmp_path / "precip.pentad.mean.nc", pentads.fillna(MISSING), pentads.time.values)


@pytest.mark.parametrize("file_format", ["NETCDF4_CLASSIC", "NETCDF3_CLASSIC"])
def test_pentads_come_back_as_they_were_written(tmp_path, pentads, file_format):
    file = tmp_path / "precip.pentad.mean.nc"
    write_pentads(file, pentads.fillna(MISSING), pentads.time.values, format=file_format)
    precip = open_cmap(file)
    assert precip.name == "precip"
    assert precip.dims == ("time", "lat", "lon")
    assert precip.dtype == np.float32
    assert precip.attrs["units"] == "mm/day"
    assert precip.time.dtype == "datetime64[ns]"
    xr.testing.assert_equal(precip, pentads)
    assert int(precip.isnull().sum()) == 60


@pytest.mark.parametrize("missing", [np.float64(-9.96921e36), np.float32(-999)])
def test_missing_values_are_nan_even_if_the_file_says_so_in_another_precision(tmp_path, pentads, missing):
    path = write_pentads(tmp_path / "p.nc", pentads.fillna(MISSING), pentads.time.values, missing=missing)
    assert int(open_cmap(path).isnull().sum()) == 60


def test_nothing_is_read_before_it_is_needed(path):
    precip = open_cmap(path)
    assert dask.is_dask_collection(precip)
    assert precip.chunks == ((20,), (72,), (144,))
    assert open_cmap(path, chunks={"time": 8}).chunks == ((8, 8, 4), (72,), (144,))
    assert open_cmap(path, chunks={"time": 8, "lat": 36}).chunks == ((8, 8, 4), (36, 36), (144,))


def test_long_series_come_in_blocks_of_five_years(tmp_path):
    time = pd.date_range("1979-01-01", periods=800, freq="5D").values
    path = write_pentads(tmp_path / "p.nc", np.zeros((800, 72, 144)), time)
    assert open_cmap(path).chunks[0] == (365, 365, 70)


def test_path_may_be_text(path):
    assert open_cmap(str(path)).equals(open_cmap(path))


def test_latitudes_keep_their_order_and_long_names_become_short(tmp_path, pentads):
    ascending = pentads[:, ::-1].rename(lat="latitude", lon="longitude")
    ascending.transpose("latitude", "longitude", "time").to_netcdf(tmp_path / "p.nc")
    xr.testing.assert_equal(open_cmap(tmp_path / "p.nc").compute(), pentads[:, ::-1])


def test_variable_is_found_by_its_description(tmp_path, pentads):
    described = pentads.rename("Band1").assign_attrs(long_name="Mean Precipitation", units="mm d-1")
    described.to_netcdf(tmp_path / "p.nc")
    precip = open_cmap(tmp_path / "p.nc")
    assert precip.name == "precip"
    assert precip.attrs["units"] == "mm/day"


def test_monthly_climatology_lies_in_the_year_one():
    precip = open_cmap(real_file("cmap_precip.mon.ltm.nc"))
    assert precip.shape == (12, 72, 144)
    assert dask.is_dask_collection(precip)
    assert list(precip.time.dt.month.values) == list(range(1, 13))
    assert set(precip.time.dt.year.values) == {1}
    assert precip.lat[0] == 88.75
    assert float(precip.isnull().mean()) == pytest.approx(0.0475, abs=1e-4)
    assert float(precip.max()) == pytest.approx(22.38667)
    assert float(precip.min()) >= 0


def test_month_rewritten_by_gdal_is_one_step_without_a_date():
    precip = open_cmap(real_file("cmap_enhanced_one_month.nc"))
    assert precip.dims == ("time", "lat", "lon")
    assert precip.shape == (1, 72, 144)
    assert "time" not in precip.coords
    assert precip.lat[0] == -88.75
    assert float(precip.max()) == pytest.approx(41.45)
    assert not precip.isnull().any()
    dated = precip.assign_coords(time=[np.datetime64("2016-08-01", "ns")])
    assert dated.indexes["time"][0].year == 2016


def test_other_calendars_stay_cftime(tmp_path):
    time = xr.date_range("2001-01-01", periods=3, freq="MS", calendar="360_day")
    precip = xr.DataArray(np.ones((3, 4, 5)), {"time": time}, ("time", "lat", "lon"), "precip", {"units": "mm/day"})
    precip.to_netcdf(tmp_path / "p.nc")
    assert open_cmap(tmp_path / "p.nc").indexes["time"].calendar == "360_day"


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.nc' is no file; fetch_cmap\(\) downloads"):
        open_cmap(tmp_path / "absent.nc")


def test_file_of_another_format(tmp_path):
    (tmp_path / "p.nc").write_text("<html>moved</html>")
    with pytest.raises(ValueError, match=r"p\.nc' cannot be opened as netCDF; check that it is complete"):
        open_cmap(tmp_path / "p.nc")


def test_file_without_precipitation(tmp_path, pentads):
    pentads.rename("sst").assign_attrs(long_name="sea").to_netcdf(tmp_path / "p.nc")
    with pytest.raises(ValueError, match=r"holds no variables.*but sst\('time', 'lat', 'lon'\); open it with xarray"):
        open_cmap(tmp_path / "p.nc")


def test_file_with_two_candidates(tmp_path, pentads):
    xr.Dataset({"precip_a": pentads, "precip_b": pentads}).to_netcdf(tmp_path / "p.nc")
    with pytest.raises(ValueError, match=r"holds 2 variables.*precip_a.*precip_b"):
        open_cmap(tmp_path / "p.nc")


def test_other_units(tmp_path, pentads):
    path = write_pentads(tmp_path / "p.nc", pentads, pentads.time.values, units="kg m-2 s-1")
    with pytest.raises(ValueError, match=r"units='kg m-2 s-1', CMAP's are 'mm/day'; .* convert"):
        open_cmap(path)


@pytest.mark.parametrize("file_format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"])
def test_a_file_that_was_cut_is_an_error(tmp_path, pentads, file_format):
    path = tmp_path / "cut.nc"
    whole = write_pentads(path, pentads, pentads.time.values, format=file_format).read_bytes()
    open_cmap(path).close()
    path.write_bytes(whole[:-8])
    with pytest.raises(ValueError, match=r"cut\.nc' cannot be opened as netCDF; check that it is complete"):
        open_cmap(path)
