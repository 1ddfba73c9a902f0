"""Chunks of files that are read once: the same values, no file touched again, none that is out of date."""

import os
import pickle
import shutil

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.model_selection import GridSearchCV

import gridcast as gc
from gridcast.data import chunk_cache
from gridcast.data.chunk_cache import ChunkCache, kept

N_TIMES, N_CHUNKS = 60, 6


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch):
    monkeypatch.setattr(chunk_cache, "_caches", {})


@pytest.fixture
def computed(monkeypatch):
    """List the names of the chunks that were read from files."""
    names, read = [], ChunkCache.read

    def counted(self, name, compute):
        return read(self, name, lambda: (names.append(name), compute())[1])

    monkeypatch.setattr(ChunkCache, "read", counted)
    return names


def write(folder, seed=0):
    values = np.random.default_rng(seed).normal(size=(N_TIMES, 8, 8)).astype(np.float32)
    times = pd.date_range("2020-01-01", periods=N_TIMES)
    series = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times}, name="v")
    series.chunk(time=N_TIMES // N_CHUNKS).to_dataset().to_zarr(folder, mode="w", zarr_format=2)
    return values


def test_a_chunk_is_read_once_and_its_values_are_those_of_the_file(tmp_path, computed):
    values = write(tmp_path / "a.zarr")
    lazy = kept(xr.open_zarr(tmp_path / "a.zarr")["v"].data)
    np.testing.assert_array_equal(lazy, values)
    assert len(computed) == N_CHUNKS
    shutil.rmtree(tmp_path / "a.zarr")
    np.testing.assert_array_equal(lazy[5:37, ::2], values[5:37, ::2])
    assert len(computed) == N_CHUNKS


def test_slices_and_what_is_computed_on_them_share_the_chunks(tmp_path, computed):
    values = write(tmp_path / "a.zarr")
    archive = xr.open_zarr(tmp_path / "a.zarr")["v"]
    np.testing.assert_array_equal(kept(archive[:40].data), values[:40])
    assert len(computed) == 4
    np.testing.assert_array_equal(kept((2 * archive[np.arange(10, 60)]).data), 2 * values[10:])
    assert len(computed) == N_CHUNKS


def test_a_file_that_was_written_anew_is_read_anew(tmp_path):
    write(tmp_path / "a.zarr")
    np.asarray(kept(xr.open_zarr(tmp_path / "a.zarr")["v"].data))
    values = write(tmp_path / "a.zarr", seed=1)
    np.testing.assert_array_equal(kept(xr.open_zarr(tmp_path / "a.zarr")["v"].data), values)


def test_netcdf_is_kept_too(tmp_path, computed):
    values = write(tmp_path / "a.zarr")
    xr.open_zarr(tmp_path / "a.zarr").load().to_netcdf(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", chunks={"time": 20}) as data:
        lazy = kept(data["v"].data)
        for _ in range(2):
            np.testing.assert_array_equal(lazy, values)
    assert len(computed) == 3


def test_what_is_in_memory_stays_as_it_is():
    values = np.zeros((4, 2, 2))
    assert kept(values) is values
    lazy = da.from_array(values, chunks=2)
    assert kept(lazy) is lazy


def test_it_can_be_turned_off(tmp_path):
    write(tmp_path / "a.zarr")
    lazy = xr.open_zarr(tmp_path / "a.zarr")["v"].data
    with dask.config.set({"gridcast.cache-bytes": 0}):
        assert kept(lazy) is lazy


def test_what_does_not_fit_is_read_from_its_file(tmp_path, computed):
    values = write(tmp_path / "a.zarr")
    with dask.config.set({"gridcast.cache-bytes": values.nbytes // 2}):
        lazy = kept(xr.open_zarr(tmp_path / "a.zarr")["v"].data)
    for _ in range(2):
        np.testing.assert_array_equal(lazy, values)
    assert len(computed) == N_CHUNKS + N_CHUNKS // 2


def test_a_folder_that_is_gone_is_no_error(tmp_path):
    values = write(tmp_path / "a.zarr")
    lazy = kept(xr.open_zarr(tmp_path / "a.zarr")["v"].data)
    np.asarray(lazy[:1])
    (cache,) = chunk_cache._caches.values()
    shutil.rmtree(cache.folder)
    np.testing.assert_array_equal(lazy, values)


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    write(tmp_path / "a.zarr")
    with dask.config.set({"temporary-directory": str(tmp_path)}):
        alive, dead = (ChunkCache(1000).folder.name for _ in range(2))
        pid = str(os.getpid())
        orphan = tmp_path / dead.replace(pid, "4194305")  # beyond the largest number of a process
        orphan.mkdir()
        cache = ChunkCache(1000)
    assert not orphan.exists()
    assert cache.folder.parent == tmp_path
    assert cache.folder.exists()
    assert pid in alive


def test_it_goes_to_other_processes(tmp_path):
    values = write(tmp_path / "a.zarr")
    lazy = pickle.loads(pickle.dumps(kept(xr.open_zarr(tmp_path / "a.zarr")["v"].data)))
    np.testing.assert_array_equal(lazy, values)


def test_a_search_reads_an_archive_once(tmp_path, computed):
    write(tmp_path / "a.zarr")
    archive = xr.open_zarr(tmp_path / "a.zarr")["v"]
    search = GridSearchCV(gc.LinearForecaster(context=3), {"lags": [1, 2]}, cv=gc.WindowSplitter(3))
    search.fit(archive)
    assert sorted(set(computed)) == sorted(computed)
    assert len(computed) == N_CHUNKS
