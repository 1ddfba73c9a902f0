import shutil
import tempfile
from pathlib import Path

import gridcast as gc

from . import precipitation
from .training import MODELS


class Saving:
    """A fitted model of 72 x 72 cells to a file and back."""

    params = tuple(MODELS)
    param_names = ("model",)
    timeout = 300

    def setup(self, model: str) -> None:
        series = precipitation().isel(lon=slice(36, 108), time=slice(0, 200))
        self.model = MODELS[model](max_epochs=1, max_steps=1, random_state=0, verbose=0).fit(series)
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "model.gridcast"
        self.model.save(self.path)

    def teardown(self, model: str) -> None:
        shutil.rmtree(self.folder)

    def time_save(self, model: str) -> None:
        self.model.save(self.path)

    def time_load(self, model: str) -> None:
        gc.load(self.path)

    def track_bytes_of_the_file(self, model: str) -> int:
        return self.path.stat().st_size
