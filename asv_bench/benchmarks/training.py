import time

import torch

import gridcast as gc
from gridcast.training.engine import make_fabric

from . import precipitation

MODELS = {"cnmm": gc.CNMMForecaster, "convlstm": gc.ConvLSTMForecaster, "dmm": gc.DMMForecaster}


class Step:
    """A training step: windows of 12 (20 for the ConvLSTM) on 72 x 72 cells, batches of 8."""

    params = (tuple(MODELS), ("32", "bf16-mixed"))
    param_names = ("model", "precision")
    timeout = 300

    def setup(self, model: str, precision: str) -> None:
        series = precipitation().isel(lon=slice(36, 108), time=slice(0, 200))
        fitted = MODELS[model](max_epochs=1, max_steps=1, random_state=0, verbose=0).fit(series)
        self.module = fitted.module_.train()
        self.fabric = make_fabric("cpu", precision)
        self.x = 0.1 * torch.randn(8, fitted.window, 1, 72, 72)
        self.mask = torch.ones_like(self.x)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-5)
        self.step()

    def step(self) -> None:
        self.optimizer.zero_grad()
        with self.fabric.autocast():
            loss, _ = self.module.loss(self.x, self.mask)
        loss.backward()
        self.optimizer.step()

    def time_step(self, model: str, precision: str) -> None:
        self.step()

    def peakmem_step(self, model: str, precision: str) -> None:
        self.step()

    def track_frames_per_second(self, model: str, precision: str) -> float:
        start = time.perf_counter()
        for _ in range(3):
            self.step()
        return 3 * self.x.shape[0] * self.x.shape[1] / (time.perf_counter() - start)

    track_frames_per_second.unit = "frames/s"
