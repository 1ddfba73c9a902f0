"""Grids on which a training step does not fit: patches, held-out regions, forecasts in bands."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from small import small

import gridcast as gc
from gridcast.data.grid import unwrap
from gridcast.forecasters import patches
from gridcast.forecasters.patches import patch_of
from gridcast.modules import bands
from gridcast.modules.region import Places
from gridcast.training import regions as regions_module
from gridcast.training.data import TrainingData, divide
from gridcast.training.regions import regions, validation
from gridcast.transformers.scaling import Scaling

GRID = (48, 40)


def waves(n_times=60, grid=GRID):
    """Fields that move on, with some noise."""
    t, y, x = np.meshgrid(np.arange(n_times), *map(np.arange, grid), indexing="ij")
    values = np.sin(0.3 * x - 0.5 * t) + np.cos(0.2 * y + 0.1 * x - 0.2 * t)
    values += 0.1 * np.random.default_rng(0).normal(size=values.shape)
    return xr.DataArray(values.astype(np.float32), dims=("time", "y", "x"))


@pytest.fixture
def little_memory(monkeypatch):
    """Let whole fields of `GRID` be too large for a training step."""
    monkeypatch.setattr(patches, "STEP_BYTES", 2**24)
    monkeypatch.setattr(regions_module, "SIZE", 24)
    monkeypatch.setattr(regions_module, "MARGIN", 4)


@pytest.mark.parametrize(
    ("patch_size", "shape", "n_frames", "expected"),
    [
        (None, (1, 4000, 4000), 48, None),
        (30, (1, 100, 200), 48, (28, 28)),
        (30, (1, 20, 200), 48, (20, 28)),
        (64, (1, 60, 60), 48, None),
        (2, (1, 60, 60), 48, (4, 4)),
        # 2 GiB are 48 frames of 38 000 cells of a channel
        ("auto", (1, 89, 180), 48, None),
        ("auto", (1, 721, 1440), 48, (96, 96)),
        ("auto", (1, 721, 1440), 4800, (16, 16)),
        ("auto", (40, 32, 64), 48, None),
        ("auto", (40, 90, 180), 48, (84, 84)),
    ],
)
def test_patches_are_whole_blocks_and_fit(patch_size, shape, n_frames, expected):
    assert patch_of(patch_size, shape, n_frames) == expected


@pytest.mark.parametrize("name", ["cnmm", "convlstm"])
def test_a_grid_that_does_not_fit_is_learned_from_patches_and_forecast_whole(name, little_memory, tmp_path):
    series = waves()
    model = small(name, batch_size=16, validation_fraction=0.2).fit(series)
    assert model._patch(model.grid_.shape) is not None
    assert model.linear_.module_.linear.n_patterns == 0
    forecast = model.predict(4)
    assert forecast.shape == (4, *GRID)
    assert np.isfinite(forecast).all()
    assert np.isfinite(model.predict_samples(2, n_samples=3)).all()
    assert np.isfinite(model.decisions_["error"]).all()
    # what each cell has of its own is of the whole grid again
    assert model.module_.combination.spread.usual.shape == (1, *GRID)
    model.save(tmp_path / "model")
    xr.testing.assert_identical(gc.load(tmp_path / "model").predict(4), forecast)


def test_a_latent_vector_is_of_whole_fields(little_memory):
    assert small("dmm", batch_size=16)._patch((1, *GRID)) is None


def test_forecasts_in_bands_are_those_of_whole_fields(monkeypatch):
    series = waves(n_times=30, grid=(720, 8))
    model = small("cnmm", patch_size=16).fit(series)
    whole = model.predict(6), model.set_params(random_state=1).predict_samples(3, n_samples=2)
    calls, network = [], model.module_.transition.network
    network.register_forward_hook(lambda module, given, out: calls.append(given[0].shape[-2]))
    monkeypatch.setattr(bands, "CELLS", 100)
    banded = model.predict(6), model.predict_samples(3, n_samples=2)
    assert 0 < max(calls) < 720
    for part, expected in zip(banded, whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(regions_module, "SIZE", 16)
    monkeypatch.setattr(regions_module, "MARGIN", 4)
    scaling, scaled = Scaling.fit(gc.MinMaxTransformer(), "mean", unwrap(waves().chunk(time=7))[0], None)
    windows, held_out = divide(scaled.values.shape, window=6, stride=1, context=3, validation_fraction=0.25)
    whole = TrainingData(scaled, scaling, 6, 3, windows, held_out)
    return whole, dataclasses.replace(whole, regional=True)


def test_regions_hold_what_whole_fields_hold_there(data):
    whole, regional = (validation(regions(each, 4)[0], 3) for each in data)
    found, places = regions(data[1], 4)
    assert whole[0].shape[-2:] == GRID
    for i, ((row, column), region) in enumerate(zip(places.first, found, strict=True)):
        assert row % 4 == column % 4 == 0
        at = np.s_[..., row : row + 16, column : column + 16]
        for part, expected in zip((regional[0], regional[1]), (whole[0], whole[1]), strict=True):
            np.testing.assert_array_equal(part[i], expected[i][at])
        np.testing.assert_array_equal(regional[3][i], np.where(region.scored, whole[3][i][at], np.nan))
    assert len(set(places.first)) > len(found) // 2


def test_near_sides_that_are_not_those_of_the_grid_nothing_is_scored(data):
    for region in regions(data[1], 4)[0]:
        row, column = region.place
        expected = np.zeros((16, 16), dtype=bool)
        expected[
            0 if row == 0 else 4 : 16 if row == 32 else 12, 0 if column == 0 else 4 : 16 if column == 24 else 12
        ] = 1
        np.testing.assert_array_equal(region.scored, expected)


def test_what_goes_around_has_no_side_where_a_region_cuts_it(data):
    around = dataclasses.replace(data[1], periodic=(False, True))
    for region in regions(around, 4)[0]:
        assert not region.scored[:, :4].any()
        assert not region.scored[:, 12:].any()
        assert region.scored[8, 4:12].all()


def test_fields_no_larger_than_a_region_are_whole(data, monkeypatch):
    monkeypatch.setattr(regions_module, "SIZE", 48)
    for part, expected in zip(*(validation(regions(each, 4)[0], 3) for each in data), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert regions(data[1], 4)[1] is None


def test_a_part_of_a_block_beside_a_region_is_no_side(data):
    scaled = data[1].scaled
    cut = dataclasses.replace(
        scaled, values=scaled.values[..., :15], grid=dataclasses.replace(scaled.grid, shape=(1, 48, 15))
    )
    for region in regions(dataclasses.replace(data[1], scaled=cut), 4)[0]:
        assert region.scored.shape == (16, 12)
        assert region.scored[8].all()  # far from the sides above and below


@pytest.mark.parametrize("name", ["cnmm", "convlstm"])
def test_a_strip_narrower_than_a_block_is_learned_from_patches(name, monkeypatch):
    monkeypatch.setattr(regions_module, "SIZE", 24)
    monkeypatch.setattr(regions_module, "MARGIN", 4)
    for grid in ((3, 40), (40, 2)):
        model = small(name, patch_size=16, validation_fraction=0.2).fit(waves(grid=grid))
        assert np.isfinite(model.decisions_["error"]).all()
        assert np.isfinite(model.predict_samples(2, n_samples=3)).all()


def test_a_module_on_a_region_forecasts_what_it_does_on_the_grid(little_memory):
    series = waves()
    model = small("cnmm", batch_size=16, lags=2, periodic=("y", "x")).fit(series)
    module, before = model.module_, {name: t.clone() for name, t in model.module_.state_dict().items()}
    x = torch.randn(1, 4, 1, *GRID, generator=torch.Generator().manual_seed(0))
    whole = module.combination.linear.mean(x, 1)
    places = Places(GRID, (32, 24), [(8, 12)], 4)
    with places.at(0, module), torch.random.fork_rng():
        part = module.combination.linear.mean(x[..., 8:40, 12:36], 1)
        _, spread = module.forecast(x[..., 8:40, 12:36], torch.ones(1, 4, 1, 32, 24), 2, 3)
        assert spread.shape[-2:] == (32, 24)
    torch.testing.assert_close(part[..., 4:-4, 4:-4], whole[..., 12:36, 16:32])
    # all columns: the first borders on the last
    with Places(GRID, (32, GRID[1]), [(8, 0)], 4, (True, True)).at(0, module):
        torch.testing.assert_close(
            module.combination.linear.mean(x[..., 8:40, :], 1)[..., 4:-4, :], whole[..., 12:36, :]
        )
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
