import gridcast as gc

from . import precipitation
from .training import MODELS


class Forecast:
    """One-step and multi-step forecasts and a backtest on 72 x 72 cells."""

    params = tuple(MODELS)
    param_names = ("model",)
    timeout = 300

    def setup(self, model: str) -> None:
        series = precipitation().isel(lon=slice(36, 108), time=slice(0, 240))
        self.model = MODELS[model](max_epochs=1, max_steps=1, random_state=0, verbose=0).fit(series[:200])
        self.test = series[200:]

    def time_one_step(self, model: str) -> None:
        self.model.predict(self.test, 20, mode="one_step")

    def time_multi_step(self, model: str) -> None:
        self.model.predict(self.test, 20)

    def time_ensemble(self, model: str) -> None:
        self.model.predict_samples(self.test, 20, n_samples=10)

    def time_backtest(self, model: str) -> None:
        gc.backtest(self.model, self.test, 20)

    def peakmem_backtest(self, model: str) -> None:
        gc.backtest(self.model, self.test, 20)
