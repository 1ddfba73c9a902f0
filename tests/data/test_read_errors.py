import re

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from small import small

import gridcast as gc
from gridcast.data.read_errors import check_unchanged, naming_the_file


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


class Remove(gc.callbacks.Callback):
    """Removes a file before the first step of a training."""

    def __init__(self, path):
        self.path = path

    def on_fit_begin(self, est):
        self.path.unlink()


def test_a_zarr_chunk_that_vanishes_while_training_is_an_error(tmp_path):
    series = write_parts(tmp_path)
    store = tmp_path / "series.zarr"
    series.chunk(time=10, y=8).to_dataset().to_zarr(store, zarr_format=2)
    model = small("convlstm", callbacks=[Remove(store / "v/2.1.0")])
    with (
        dask.config.set({"gridcast.cache-bytes": 0}),  # what was kept of the first pass would serve
        pytest.raises(OSError, match=r"changed while it was read from .*series\.zarr.* 128 observed values fewer"),
    ):
        model.fit(xr.open_zarr(store)["v"])


@pytest.mark.parametrize("name", ["naive", "linear"])
def test_values_that_vanish_between_two_reads_are_an_error(name):
    reads = []

    def read(block):
        reads.append(block.shape)
        # a look at the end of the series, once all of it was seen
        return block if len(reads) <= n_reads else np.full_like(block, np.nan)

    values = np.random.default_rng(0).normal(size=(40, 4, 4)).astype(np.float32)
    source = da.from_array(values, chunks=(10, 4, 4))
    series = xr.DataArray(source.map_blocks(read, meta=np.empty((0, 0, 0), "f4")), dims=("time", "y", "x"))
    n_reads = 4 * (1 if name == "naive" else 2)  # a linear model's transformer has a pass of its own
    model = gc.NaiveForecaster() if name == "naive" else small("linear")
    with pytest.raises(OSError, match=r"X changed while it was read: .*pass X\.load\(\)"):
        model.fit(series)
    reads.clear()
    n_reads = np.inf
    assert np.isfinite(model.fit(series.load()).predict(2)).all()


def test_gaps_of_the_first_pass_are_no_change():
    block = np.where(np.arange(8).reshape(2, 1, 2, 2) % 3, 1.0, np.nan)
    check_unchanged(block, np.isfinite(block).sum((1, 2, 3)), block)
    with pytest.raises(OSError, match="1 observed values fewer"):
        check_unchanged(block, np.array([3, 3]), block)


def test_other_errors_get_no_note():
    with pytest.raises(ValueError, match="other") as caught, naming_the_file():
        raise ValueError("other")
    assert not hasattr(caught.value, "__notes__")
