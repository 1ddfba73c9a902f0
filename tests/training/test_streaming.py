import threading
from contextlib import closing

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcast.training.streaming import Cycle, Noise, WindowStream

SHAPE = (2, 30, 1, 6, 8)  # sample, time, channel, y, x
DEFAULT = np.zeros(SHAPE[2:], np.float32)


def numbered(shape=SHAPE):
    """Values that say where they come from."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def all_windows(n_samples=2, n_starts=26):
    return np.array([(s, t) for s in range(n_samples) for t in range(n_starts)])


def stream(values, windows=None, seed=0, **options):
    windows = all_windows() if windows is None else windows
    return WindowStream(values, windows, 5, 4, DEFAULT, np.random.default_rng(seed), **options)


def where_from(batches):
    """Return (sample, start) of every window of an epoch."""
    per_sample = np.prod(SHAPE[1:])
    first = np.concatenate([b.x[:, 0, 0, 0, 0].numpy() for b in batches]).astype(int)
    return sorted(zip(first // per_sample, first % per_sample // 48, strict=True))


@settings(max_examples=40)
@given(time_chunk=st.integers(1, 30), sample_chunk=st.integers(1, 2), frames=st.integers(1, 70))
def test_an_epoch_holds_every_window_once_whatever_the_chunks_and_the_buffer(time_chunk, sample_chunk, frames):
    lazy = da.from_array(numbered(), chunks=(sample_chunk, time_chunk, 1, 6, 8))
    batches = list(stream(lazy, buffer_bytes=frames * 48 * 4))
    assert where_from(batches) == [tuple(w) for w in all_windows()]
    for batch in batches:
        assert torch.equal(batch.x[:, 1] - batch.x[:, 0], torch.full((len(batch.x), 1, 6, 8), 48.0))


def test_memory_and_dask_give_the_same_windows():
    assert where_from(stream(numbered())) == where_from(stream(da.from_array(numbered(), chunks=(1, 7, 1, 6, 8))))


def test_epochs_differ_in_order_and_a_seed_repeats_them():
    first = stream(numbered())
    epochs = [torch.cat([b.x[:, 0, 0, 0, 0] for b in first]) for _ in range(2)]
    again = torch.cat([b.x[:, 0, 0, 0, 0] for b in stream(numbered())])
    assert not torch.equal(*epochs)
    assert torch.equal(epochs[0], again)


def counted(chunks, reads):
    def read(block, block_info=None):
        reads.append(block_info[None]["chunk-location"])
        return block

    lazy = da.from_array(numbered(), chunks=chunks)
    return lazy.map_blocks(read, dtype=np.float32, meta=np.empty((0,) * 5))


@pytest.mark.parametrize(("frames", "n_blocks"), [(30, 6), (48, 4), (120, 1)])
def test_two_blocks_stay_within_the_buffer_and_a_chunk_is_read_once_but_where_windows_reach_over(frames, n_blocks):
    reads = []
    s = stream(counted((1, 10, 1, 6, 8), reads), buffer_bytes=frames * 48 * 4)
    for windows in s.blocks:
        span = np.ptp(windows, axis=0) + np.array([1, 5])
        assert 2 * span.prod() <= frames
        assert windows[0, 1] % 10 == 0  # begins with a chunk
    list(s)
    assert len(s.blocks) == n_blocks
    assert set(reads) == {(sample, time, 0, 0, 0) for sample in (0, 1) for time in (0, 1, 2)}
    assert len(reads) <= 6 + n_blocks - 1


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("gridcast")]


def test_no_thread_is_left_whether_an_epoch_ends_or_is_left():
    for values in (numbered(), da.from_array(numbered(), chunks=(1, 7, 1, 6, 8))):
        list(stream(values))
        assert not threads()
        with closing(iter(stream(values))) as batches:
            next(batches)
            assert threads()
        assert not threads()


def test_an_error_of_the_reader_reaches_the_caller():
    def broken(block, block_info=None):
        if block_info[None]["chunk-location"][1] == 2:
            raise OSError("truncated.nc: chunk 2 is damaged")
        return block

    lazy = da.from_array(numbered(), chunks=(1, 10, 1, 6, 8)).map_blocks(
        broken, dtype=np.float32, meta=np.empty((0,) * 5)
    )
    with pytest.raises(OSError, match=r"truncated\.nc"):
        list(stream(lazy, buffer_bytes=30 * 48 * 4))
    assert not threads()


@pytest.mark.parametrize("chunks", [None, (1, 10, 1, 6, 8), (2, 30, 1, 6, 8)])
@pytest.mark.parametrize("n_processes", [2, 4])
def test_processes_share_every_window_and_take_the_same_number_of_steps(chunks, n_processes):
    values = numbered() if chunks is None else da.from_array(numbered(), chunks=chunks)
    windows = all_windows()[:48]  # twelve batches of four
    options = {"n_processes": n_processes, "buffer_bytes": 60 * 48 * 4}
    epochs = [list(stream(values, windows, process=i, **options)) for i in range(n_processes)]
    assert [len(e) for e in epochs] == [12] * n_processes
    assert {len(b.x) for e in epochs for b in e} == {4 // n_processes}
    seen = [w for e in epochs for w in where_from(e)]
    assert len(seen) == 48
    if chunks is None:
        assert sorted(seen) == [tuple(w) for w in windows]
        for i, batch in enumerate(stream(values, windows)):
            together = torch.cat([e[i].x for e in epochs])
            assert sorted(together[:, 0, 0, 0, 0].tolist()) == sorted(batch.x[:, 0, 0, 0, 0].tolist())


def test_processes_share_the_last_batch_evenly():
    epochs = [list(stream(numbered(), all_windows()[:46], process=i, n_processes=2)) for i in range(2)]
    assert [[len(b.x) for b in e] for e in epochs] == [[2] * 11 + [1]] * 2
    assert len({w for e in epochs for w in where_from(e)}) == 46


def test_processes_without_a_window_of_their_own_take_those_of_the_others():
    epochs = [list(stream(numbered(), all_windows()[:1], process=i, n_processes=4)) for i in range(4)]
    assert [where_from(e) for e in epochs] == [[(0, 0)]] * 4


def test_a_batch_that_the_processes_can_not_share_is_an_error():
    with pytest.raises(ValueError, match="batch_size=4 must be a multiple of the 3 processes"):
        stream(numbered(), n_processes=3)


def test_patches_are_aligned_cut_from_their_origin_and_reach_everywhere():
    s = stream(numbered(), patch=(4, 4), alignment=2)
    origins = set()
    for _ in range(10):
        for batch in s:
            assert batch.x.shape[-2:] == (4, 4)
            inside = batch.x[:, 0, 0, 0, 0].numpy().astype(int) % 48
            assert np.array_equal(inside, batch.origin[:, 0].numpy() * 8 + batch.origin[:, 1].numpy())
            origins |= {tuple(o) for o in batch.origin.tolist()}
    assert origins == {(y, x) for y in (0, 2) for x in (0, 2, 4)}


def test_missing_values_are_masked_and_filled_with_the_last_observation():
    values = numbered()
    values[0, 3, 0, 0, 0] = values[0, 0, 0, 1, 1] = np.nan
    batch = next(iter(WindowStream(values, np.array([(0, 0)]), 5, 1, DEFAULT + 7, np.random.default_rng(0))))
    assert batch.mask.sum() == batch.mask.numel() - 2
    assert batch.x[0, 3, 0, 0, 0] == values[0, 2, 0, 0, 0]
    assert batch.x[0, 0, 0, 1, 1] == 7  # never seen before: the default
    assert torch.isfinite(batch.x).all()


def test_an_infinite_value_is_an_error():
    values = numbered()
    values[1, 2, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="infinite value: mark missing values with NaN"):
        list(stream(values))


def test_length_is_the_number_of_batches():
    assert len(stream(numbered())) == len(list(stream(numbered()))) == 13


def test_the_climatology_of_each_step_is_subtracted_also_from_patches():
    values = numbered()
    cycle = Cycle(np.random.default_rng(0).normal(size=(3, 1, 6, 8)).astype(np.float32), np.arange(30) % 3)
    for batch in stream(values, patch=(4, 4), alignment=2, cycle=cycle):
        for x, (row, column) in zip(batch.x.numpy(), batch.origin.tolist(), strict=True):
            raw = [np.rint(x[0, 0, 0, 0] + cycle.values[p, 0, row, column]) for p in range(3)]
            start, sample = next(
                (int(v) // 48 % 30, int(v) // 1440)
                for p, v in enumerate(raw)
                if int(v) // 48 % 30 % 3 == p and int(v) % 48 == row * 8 + column
            )
            expected = values[sample, start : start + 5] - cycle.at(slice(start, start + 5))
            np.testing.assert_allclose(x, expected[..., row : row + 4, column : column + 4], atol=1e-3)


def test_noise_is_added_to_a_share_of_the_windows_within_bounds_and_the_target_stays_clean():
    one = np.ones((1, 1, 1))
    noise = Noise(0.5, 0.1 * one, 10.0 * one, (0 * one, 2880 * one))
    epoch = list(stream(numbered(), noise=noise))
    x, target = (torch.cat([getattr(b, name) for b in epoch]) for name in ("x", "target"))
    clean = torch.cat([b.x for b in stream(numbered())])
    assert sorted(target[:, 0, 0, 0, 0].tolist()) == sorted(clean[:, 0, 0, 0, 0].tolist())
    spread = (x - target).flatten(1).std(1)
    noisy = spread > 0
    assert 0.3 < noisy.float().mean() < 0.7
    assert x.min() >= 0
    assert x.max() <= 2880
    assert spread[noisy].min() < 1
    assert spread[noisy].max() > 3
