import re

import dask
import numpy as np
import pytest
import xarray as xr

import gridcast as gc
from gridcast.data.read_errors import naming_the_file


def write_parts(folder, n_parts=4):
    """Write a series to several NetCDF files, compressed so that damage is seen."""
    values = np.random.default_rng(0).normal(size=(10 * n_parts, 16, 16)).astype(np.float32)
    series = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": np.arange(10 * n_parts)}, name="v")
    for i in range(n_parts):
        encoding = {"v": {"zlib": True, "chunksizes": (10, 16, 16)}}
        series[10 * i : 10 * i + 10].to_netcdf(folder / f"part{i}.nc", encoding=encoding)
    return series


def damage(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)


def test_a_damaged_netcdf_file_among_several_is_named(tmp_path):
    write_parts(tmp_path)
    series = xr.open_mfdataset(tmp_path.glob("*.nc"), combine="by_coords", chunks={})["v"]
    damage(tmp_path / "part2.nc")
    with pytest.raises(Exception, match=r".") as caught, dask.config.set(scheduler="synchronous"):
        gc.NaiveForecaster().fit(series)
    assert any(re.search(r"while reading .*part2\.nc", note) for note in caught.value.__notes__)


def test_a_file_that_vanished_is_named_in_a_forecast(tmp_path):
    write_parts(tmp_path)
    series = xr.open_mfdataset(tmp_path.glob("*.nc"), combine="by_coords", chunks={})["v"]
    model = gc.NaiveForecaster().fit(series)
    series.close()
    xr.backends.file_manager.FILE_CACHE.clear()
    (tmp_path / "part3.nc").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        model.predict(series, 1)
    assert "part3.nc" in str(caught.value) + " ".join(caught.value.__notes__)


def test_a_damaged_zarr_chunk_is_named_while_training(tmp_path):
    series = write_parts(tmp_path)
    store = tmp_path / "series.zarr"
    series.chunk(time=10).to_dataset().to_zarr(store, zarr_format=2)
    lazy = xr.open_zarr(store)["v"]
    damage(next(store.glob("v/2.0.0")))
    model = gc.ConvLSTMForecaster(rnn_channels=2, window=6, context=3, max_epochs=1, verbose=0, random_state=0)
    with pytest.raises(Exception, match=r".") as caught:
        model.fit(lazy)
    assert any("series.zarr" in note for note in caught.value.__notes__)


def test_other_errors_get_no_note():
    with pytest.raises(ValueError, match="other") as caught, naming_the_file():
        raise ValueError("other")
    assert not hasattr(caught.value, "__notes__")
