"""A training is another where its data or parameters are, wherever they differ."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast.data.grid import unwrap
from gridcast.training.identity import describe, digest, digest_labels, digest_series

N = 60


def make_series(n_samples=2):
    values = np.random.default_rng(0).normal(size=(n_samples, N, 8, 10)).astype(np.float32)
    coords = {"time": pd.date_range("2001", periods=N), "lat": np.arange(8.0), "lon": np.arange(10.0)}
    return xr.DataArray(values, dims=("sample", "time", "lat", "lon"), coords=coords)


def with_one_changed(array, *place):
    array = array.copy()
    array[place] += 1e-3
    return array


FIELD = np.random.default_rng(1).normal(size=(200, 300))
DATA = xr.DataArray(FIELD, dims=("lat", "lon"))
OTHER = with_one_changed(FIELD, 100, 150)


@pytest.mark.parametrize(
    "make",
    [
        lambda f: f,
        lambda f: DATA.copy(data=f),
        lambda f: [DATA, DATA.copy(data=f)],
        lambda f: (f, FIELD),
        lambda f: DATA.copy(data=f).to_dataset(name="oro"),
        lambda f: {"a": [f]},
        lambda f: DATA.copy(data=f).chunk(lat=50),
        lambda f: pd.Series(f.ravel()),
        lambda f: f.astype(object),
    ],
    ids=["array", "DataArray", "list", "tuple", "Dataset", "dict", "lazy", "Series", "objects"],
)
def test_a_parameter_differs_by_one_value_in_its_middle(make):
    assert describe(make(FIELD)) == describe(make(FIELD.copy()))
    assert describe(make(FIELD)) != describe(make(OTHER))
    assert len(describe(make(FIELD))) < 200


def test_names_dimensions_and_types_tell_parameters_apart():
    square = DATA[:200, :200]
    assert describe(square) != describe(square.rename(lat="lon", lon="lat"))
    assert describe(DATA.to_dataset(name="a")) != describe(DATA.to_dataset(name="b"))
    assert describe(1) != describe("1")
    assert describe(np.random.default_rng(0)) == describe(np.random.default_rng(1)) == "Generator"
    assert digest(np.zeros(4)) != digest(np.zeros((2, 2)))


SAME_MOMENTS = {
    "reversed": lambda x: x.copy(data=x.values[:, ::-1]),
    "rolled": lambda x: x.copy(data=np.roll(x.values, 1, axis=1)),
    "two steps swapped": lambda x: x.copy(data=x.values[:, [0, 1, 2, 4, 3, *range(5, N)]]),
    "samples swapped": lambda x: x.copy(data=x.values[::-1]),
    "one value": lambda x: x.copy(data=with_one_changed(x.values, 1, 30, 4, 5)),
    "missing": lambda x: x.where(x != x[1, 30, 4, 5]),
}


@pytest.mark.parametrize("case", SAME_MOMENTS)
def test_a_series_is_known_by_its_values_in_their_order(case):
    x = make_series()
    assert digest_series(unwrap(x)[0]) != digest_series(unwrap(SAME_MOMENTS[case](x))[0])


@pytest.mark.parametrize("buffer_bytes", [1, 5_000, 10**9])
def test_blocks_and_chunks_change_nothing(buffer_bytes):
    x = make_series()
    lazy = unwrap(x.chunk(time=7, lat=3))[0]
    assert digest_series(lazy, buffer_bytes) == digest_series(unwrap(x)[0])


def test_labels_are_told_apart():
    x = make_series()
    series = [
        x,
        x.assign_coords(lon=x.lon * 36),
        x.drop_vars("lat"),
        x.assign_coords(time=xr.date_range("2001", periods=N, calendar="noleap", use_cftime=True)),
    ]
    assert len({digest_labels(unwrap(one)[0]) for one in series}) == len(series)
