"""The linear inverse model, which networks are weighed against too."""

from __future__ import annotations

from typing import Any, Self

from torch import nn

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Series
from gridcast.data.parameters import parameter, whole
from gridcast.data.random import draw_seed
from gridcast.data.recalibration import Recalibration
from gridcast.forecasters.inverse_model import N_PATTERNS, fit_inverse_model, inverse_model
from gridcast.forecasters.registry import forecaster
from gridcast.forecasters.scaled import ScaledForecaster, with_threads
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.training.data import TrainingData, divide
from gridcast.training.engine import make_fabric, place, seeded
from gridcast.training.spec import ModuleSpec

# Of the series, and so the same whatever model learns it
LEARNED = (
    "grid_", "calendar_", "recent_", "trained_on_", "missing_share_", "transformer_", "scaling_", "climatology_",
    "n_windows_", "drivers_",
)  # fmt: skip


@forecaster
class LinearForecaster(ScaledForecaster):
    """Linear inverse model (Penland and Sardeshmukh, Journal of Climate 1995) of blocks and large-scale patterns.

    The next field is a linear function of the last `lags` ones: of the neighbourhood of each place, the same
    everywhere, and of the leading patterns of the whole field; see `gridcast.modules.linear.LinearForecast`. Ridge
    penalties are chosen by cross-validation. Forecasts of several steps run the model on and are damped towards the
    climatology as far as hindcasts of the last quarter of the training series ask. Members of an ensemble are paths of
    noise with the covariance of the one-step errors, as large at each lead and cell as the errors of these hindcasts,
    and larger where more has changed of late than is usual, as far as these errors were too.
    `fit` takes seconds. The neural forecasters weigh their networks against it.

    Attributes
    ----------
    module_ : Module
        The fitted model.
    transformer_, scaling_, climatology_, time_features_, n_windows_
        As in `ScaledForecaster`.

    Examples
    --------
    >>> import gridcast as gc
    >>> heat = gc.datasets.make_heat(2, n_windows=2, window=12, shape=(16, 16), random_state=0)
    >>> model = gc.LinearForecaster(lags=2, context=6, random_state=0).fit(heat)
    >>> model.predict(3).sizes["time"], model.predict_samples(3, n_samples=5).sizes["member"]
    (3, 5)

    See Also
    --------
    CNMMForecaster : networks that are weighed against it.
    """

    lags: int = parameter(whole(), "int", "Past fields that a forecast sees, at most `context`.", default=6)
    patterns: int = parameter(
        whole(0),
        "int",
        "Large-scale patterns of the whole field; 0 for none, as beside networks that learn from patches.",
        default=N_PATTERNS,
    )

    @with_threads
    def _fit(self, series: Series, calendar: Calendar) -> dict[str, Any]:
        if self.lags > self.context:  # a forecast sees no further back than its context
            raise ValueError(f"lags={self.lags!r} must not exceed context={self.context!r}: raise context")
        if len(series) <= self.lags:
            raise ValueError(
                f"X has {len(series)} steps, lags={self.lags!r} needs at least {self.lags + 1}: give a longer "
                "series or fewer lags"
            )
        # the shortest stretch that holds a pair
        window = min(self.lags + 1, len(series))
        windows, held_out = divide(
            series.values.shape, window=window, stride=1, context=self.context, validation_fraction=0.0
        )
        # single precision: regressions do not bear less
        fabric = make_fabric(self.device, "32")
        scaling, scaled, table = self._scale(series, calendar, windows, window)
        data = TrainingData(scaled, scaling, window, self.context, windows, held_out)
        with seeded(draw_seed(self.random_state)):
            model = self._build_module(self._spec(series.grid, scaling.statistics, None, len(windows)))
            _, recalibration = fit_inverse_model(model, data, self.bounded)
        scaling = self._nowcasting(scaling, data, calendar, model)
        return {
            "transformer_": scaling.transformer,
            "scaling_": scaling,
            "climatology_": table,
            "time_features_": None,
            "missing_share_": scaling.statistics.missing,
            "n_windows_": len(windows),
            "n_observed": scaling.counted(scaled),
            "module_": place(model.eval(), fabric),
            "recalibration_": recalibration,
        }

    def _build_module(self, spec: ModuleSpec) -> LinearInverseModel:
        return inverse_model(spec, self.lags, self.horizon, n_patterns=self.patterns)

    def _dynamics(self) -> LinearInverseModel:
        return self.module_

    def _remember(self, history: Any, module: nn.Module) -> dict[str, Any]:
        if history:
            raise ValueError("learned/history holds records, but a LinearForecaster keeps none")
        return {}

    def with_model(self, other: ScaledForecaster, model: LinearInverseModel) -> Self:
        """Return self, fitted: with what another forecaster learned of the series, and with this model."""
        learned = {name: getattr(other, name) for name in LEARNED}
        of_model = {"module_": model, "recalibration_": Recalibration.identity(other.grid_.shape[0])}
        self.__dict__.update(learned | of_model | {"time_features_": None})
        return self
