import shutil
import tempfile

import dask.array as da
import numpy as np

import gridcast as gc
from gridcast.data.grid import unwrap
from gridcast.training.streaming import WindowStream

from . import CHUNK, precipitation

WINDOW, BATCH = 12, 8


class Streaming:
    """An epoch of windows from memory, or from a Zarr store in chunks of a year."""

    params = ("memory", "zarr")
    param_names = ("source",)

    def setup(self, source: str) -> None:
        series = precipitation()
        self.folder = tempfile.mkdtemp()
        if source == "zarr":
            da.to_zarr(series.chunk(time=CHUNK).data, f"{self.folder}/series.zarr")
            series = series.copy(data=da.from_zarr(f"{self.folder}/series.zarr"))
        self.values = unwrap(series)[0].values
        starts = gc.WindowSplitter(window=WINDOW).windows(len(series))
        self.windows = np.stack([np.zeros_like(starts), starts], axis=1)

    def teardown(self, source: str) -> None:
        shutil.rmtree(self.folder)

    def epoch(self) -> int:
        default = np.zeros(self.values.shape[2:], np.float32)
        stream = WindowStream(self.values, self.windows, WINDOW, BATCH, default, np.random.default_rng(0))
        return sum(len(batch.x) for batch in stream)

    def time_epoch(self, source: str) -> None:
        self.epoch()

    def peakmem_epoch(self, source: str) -> None:
        self.epoch()
