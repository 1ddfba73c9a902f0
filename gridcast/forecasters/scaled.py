"""What the forecasters share that run a torch module on the scaled anomalies of a series."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from gridcast.data.calendars import Calendar
from gridcast.data.covariates import TimeFeatures, make_time_features, static_fields
from gridcast.data.grid import Grid, Series, extend
from gridcast.data.observation_errors import NoisySeries
from gridcast.data.parameters import AUTO, anything, flag, parameter, whole
from gridcast.data.random import draw_seed
from gridcast.data.statistics import FieldStatistics
from gridcast.forecasters.climatology import ClimatologyChoice, check_scores, climatology_table, scores_of
from gridcast.forecasters.covariates import ResponseChoice, Saved, covariates_table, response_parts
from gridcast.forecasters.fitted import check_fitted
from gridcast.forecasters.nowcast import by_lead, corrections, fit_nowcast, linear_mean, unforeseen
from gridcast.forecasters.registry import forecaster
from gridcast.forecasters.running import ACTIVATIONS, BATCH_BYTES, Inputs, forecast_scaled, shared_out
from gridcast.forecasters.smoothing import SmoothingForecaster
from gridcast.forecasters.weights import as_array, first_names, tensors
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.persistence.encoding import MISFITS
from gridcast.persistence.forms import check, check_array, check_transformer, take
from gridcast.training.data import TrainingData
from gridcast.training.engine import seeded
from gridcast.training.spec import ModuleSpec
from gridcast.training.threads import threads
from gridcast.transformers.anomaly import Anomaly
from gridcast.transformers.minmax import MinMaxTransformer
from gridcast.transformers.scaling import OURS, Scaling

FEW_GAPS = 0.01  # of the values of a training series


def dimensions(name: str, value: Any) -> None:
    """Check for names of dimensions."""
    if not isinstance(value, str) and not (isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)):
        raise InvalidParameterError(f'{name}={value!r} must be "auto", a dimension of X or a tuple of both, or ()')


def invertible(name: str, value: Any) -> None:
    """Check for a transformer that can be undone."""
    if not callable(getattr(value, "inverse_transform", None)):
        raise InvalidParameterError(f"{name}={value!r} has no inverse_transform: use gridcast.MinMaxTransformer()")


def with_threads(fit: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Run a method ``_fit`` with the threads that its batches are worth."""

    @functools.wraps(fit)
    def run(self: Any, series: Series, calendar: Calendar) -> dict[str, Any]:
        self.check_parameters()  # of which the size of a batch is told
        # what has no batches sees all steps of whole fields at once
        patch = self._patch(series.grid.shape) if hasattr(self, "_patch") else None
        cells = math.prod(patch or series.grid.shape[1:])
        with threads(getattr(self, "batch_size", len(series)) * cells):
            return fit(self, series, calendar)

    return run


@forecaster
class ScaledForecaster(SmoothingForecaster):
    """Base of the forecasters that run a torch module on scaled anomalies.

    Attributes
    ----------
    module_ : Module
        The fitted torch module.
    transformer_ : transformer
        The fitted transformer.
    scaling_ : Scaling
        The transformer, the climatology and the statistics of the scaled training series.
    climatology_ : DataFrame
        The climatology in use (``chosen``), and what ``climatology="auto"`` compared it with: the squared ``error`` of
        each in units of that of the first, the geometric mean over leads; NaN where nothing was compared.
    covariates_ : DataFrame
        Whether covariates are used (``chosen``), and the squared ``error`` with them in units of that without.
    time_features_ : TimeFeatures or None
        How the time of a step is told.
    n_windows_ : int
        Number of training windows.
    """

    context: int = parameter(whole(), "int", "Observed steps that a forecast starts from.", default=10)
    climatology: Any = parameter(
        anything,
        '{"auto", "year", "day", "mean"}, int or None',
        "Mean cycle that is subtracted from the scaled series before the model sees it and added to its forecasts, as "
        '`gridcast.Anomaly` learns it. ``"auto"`` takes the year where the series covers ten. Of a shorter series it '
        "compares the mean of each cell (the day, where it covers sixty), the day and the year, with few harmonics and "
        "with more, by forecasts of the last quarter of the training part; a richer cycle must be better, and where "
        "that part is too short to tell, the simplest is taken. None leaves the series as it is.",
        default="auto",
    )
    horizon: int = parameter(
        whole(),
        "int",
        "Leads that held-out forecasts decide about: climatology, damping, weights, spread; later ones take those of "
        "the last.",
        default=20,
    )
    bounded: bool = parameter(
        flag,
        "bool",
        "Take the smallest or largest value of the training series for a natural bound where at least a hundredth of "
        "its values are there: rain stays non-negative, a concentration at most 1, and members of an ensemble are at "
        "the bound as often as forecasts of held-out steps ask for (a censored distribution). A temperature has "
        "no such bound.",
        default=True,
    )
    transformer: Any = parameter(
        invertible,
        "transformer",
        "Scales the series before training and is undone in every forecast; cloned to ``transformer_``.",
        default=MinMaxTransformer(),
    )
    periodic: Any = parameter(
        dimensions,
        '"auto", str or tuple of str',
        "Which of the last two dimensions go around, by their names, so that their last row or column borders on the "
        'first: ``"x"``, ``("y", "x")``, or ``()`` for neither. ``"auto"`` is a longitude that spans the globe.',
        default="auto",
    )
    device: str = parameter(
        anything,
        "str",
        '``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.',
        default="auto",
    )

    @property
    def covariates_(self) -> pd.DataFrame:
        """Which covariates are used (``chosen``), and the squared ``error`` with each in units of that without.

        The error is that of a linear inverse model that forecasts the last quarter of the training part, the geometric
        mean over leads; what was not compared has no row. Those of the past are used where they take more than half a
        percent off the error of the first lead.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_fitted(self)
        return covariates_table(self.scaling_)

    @abstractmethod
    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        """Return a new module with a method `forecast`; on the meta device where weights come from a file."""

    def _spec(
        self, grid: Grid, statistics: FieldStatistics, time_features: TimeFeatures | None, n_windows: int
    ) -> ModuleSpec:
        """Return what the module must know of the data."""
        given = vars(self)  # a linear model has no constant fields
        return ModuleSpec.of(
            grid,
            statistics,
            static=static_fields(given.get("static"), grid),
            time_features=time_features,
            n_windows=n_windows,
            periodic=self.periodic,
            located=given.get("architecture") == "residual",
        )

    def _make_time_features(self, series: Series, calendar: Calendar) -> TimeFeatures | None:
        """Return how the time of a step is told to the module; the published networks see none unasked."""
        given = vars(self)  # a linear model sees none
        unasked = given.get("architecture") == "paper" and given.get("time_features") == AUTO
        return make_time_features(None if unasked else given.get("time_features"), series, calendar)

    def _scale(
        self, series: Series, calendar: Calendar, windows: np.ndarray, window: int
    ) -> tuple[Scaling, Series, pd.DataFrame]:
        """Return what scales the series, the scaled series, and what decided its climatology; see `Scaling.fit`."""
        around = series.grid.around(self.periodic)
        choice = ClimatologyChoice(windows, window, self.context, self.horizon, around)
        scaling, scaled = Scaling.fit(self.transformer, self.climatology, series, calendar, choice.choose)
        table = climatology_table(choice.scores, scaling.climatology)
        if series.drivers is None:
            return scaling, scaled, table
        responses = ResponseChoice(choice)
        scaling, scaled = responses.respond(scaling, scaled, calendar)
        return replace(scaling, compared=responses.scores), scaled, table

    def _closed_sides(self) -> np.ndarray:
        return np.isfinite(self.scaling_.natural_bounds) & self.bounded

    def _n_context(self) -> int:
        return self.context

    def _n_phases(self) -> int:
        return self.scaling_.n_phases

    def _forecast(self, history: Series, origins: np.ndarray, horizon: int, n_samples: int | None) -> np.ndarray:
        n_series, (_, rows, columns) = history.values.shape[0], history.grid.shape
        out = np.empty((n_samples or 1, n_series, len(origins), horizon, *history.grid.shape), dtype=np.float32)
        frame_bytes = 4 * ACTIVATIONS * rows * columns * n_series
        # as many members as fit at once, then as many origins
        sizes = shared_out(n_samples or 0, BATCH_BYTES // (frame_bytes * horizon))
        n_members = max(1, sizes[0])
        n_batch = max(1, BATCH_BYTES // (frame_bytes * max(self.context, horizon * n_members)))
        batches = [origins[start : start + n_batch] for start in range(0, len(origins), n_batch)]
        # the last origins forecast beyond the history
        times = extend(history.times, self._times_after(history, horizon))
        cells = n_series * min(n_batch, len(origins)) * n_members * rows * columns
        # one seed for the whole call: an integer gives the same members again; a mean draws nothing, and never waits
        with threads(cells), seeded(draw_seed(self.random_state)) if n_samples else nullcontext():
            start = 0
            for batch, context in zip(batches, self.scaling_.contexts(history, batches, self.context), strict=True):
                bounds = self._bounds(history, times, batch, horizon)
                inputs = Inputs(*context, self._clocks(history, batch), bounds)
                analysed = self._needs_analysis(history, inputs.mask, len(batch))
                for where in (w for w in (np.flatnonzero(~analysed), np.flatnonzero(analysed)) if len(w)):
                    some, of = inputs.at(where, len(batch)), batch[where]
                    if analysed[where[0]]:
                        made, some = self._from_analyses(history, of, some, horizon, n_samples or 0)
                    else:
                        made = forecast_scaled(self.module_, some, horizon, sizes)
                    first, correct = 0, self._correction(history, times, of, some, horizon, n_samples)
                    for values in map(correct, made):
                        out[first : first + len(values), :, start + where] = values.reshape(
                            -1, n_series, len(where), *values.shape[2:]
                        )
                        first += len(values)
                start += len(batch)
        leads = [times[origins + 1 + lead] for lead in range(horizon)]
        return self.scaling_.restore(out, history, leads, self.bounded)

    def _needs_analysis(self, history: Series, mask: np.ndarray, n_origins: int) -> np.ndarray:
        """Say of which origins contexts, of masks (sample * origin, ...), are to be estimated, bool of (origin,).

        Of those with gaps, where the training series had hardly any: what has learned from a series with gaps knows
        what they do to a forecast.
        """
        statistics = self.scaling_.statistics
        share = 1 - (1 - statistics.missing) / max(statistics.observed.mean(), 1e-12)
        if isinstance(history, NoisySeries) or share >= FEW_GAPS or _linear_model(self.module_) is None:
            return np.full(n_origins, isinstance(history, NoisySeries))
        seen = mask.reshape(-1, n_origins, *mask.shape[1:])[..., statistics.observed]
        return np.asarray(~seen.all(axis=(0, 2, 3)))

    def _from_analyses(
        self, history: Series, origins: np.ndarray, inputs: Inputs, horizon: int, n_samples: int
    ) -> tuple[Iterator[np.ndarray], Inputs]:
        """Return what yields as `forecast_scaled` does, from estimated contexts, and the means of these as inputs."""
        mask = np.broadcast_to(self.scaling_.statistics.observed, inputs.x.shape).astype(np.float32)  # land is not seen
        known = inputs._replace(mask=mask)
        # every member has a context of its own
        sizes = shared_out(n_samples, BATCH_BYTES // (4 * ACTIVATIONS * inputs.x[:, :, 0].size))

        def made() -> Iterator[np.ndarray]:
            for x, n in self._analysed(history, origins, self.context, sizes):
                # a member of its own for each draw
                repeated = known.repeated(n)._replace(x=x)
                for values in forecast_scaled(self.module_, repeated, horizon, [min(n_samples, 1)]):
                    yield values[0].reshape(n, -1, *values.shape[2:])

        if self.scaling_.nowcast is not None:
            known = known._replace(x=next(self._analysed(history, origins, self.context, [0]))[0])
        return made(), known

    def _correction(
        self, history: Series, times: pd.Index, origins: np.ndarray, inputs: Inputs, horizon: int, n_samples: int | None
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return what covariates of the past make of scaled forecasts (member, batch, horizon, channel, y, x)."""
        nowcast, linear = self.scaling_.nowcast, _linear_model(self.module_)
        if nowcast is None or linear is None:
            return lambda values: values
        (plain,) = next(forecast_scaled(self.module_, inputs, horizon))
        x, mask, _, bounds = inputs
        later = None if bounds is None else (bounds[0][:, 1:], bounds[1][:, 1:])

        def mean(contexts: np.ndarray, n: int) -> np.ndarray:
            seen = np.concatenate([mask[:, 1:], np.ones_like(mask[:, :1])], axis=1)
            clocks = self._clocks(replace(history, times=times), origins + 1)
            return next(forecast_scaled(self.module_, Inputs(contexts, seen, clocks, later), n))[0]

        n_lags = linear.linear.n_lags
        steps = origins[:, None] + np.arange(1 - n_lags, 2)  # (origin, step)
        effects = nowcast.response.at(history.drivers, times[steps.ravel()])
        effects = effects.reshape(len(effects), *steps.shape, *plain.shape[2:])
        effects = effects.repeat(len(history.values) // len(effects), axis=0).reshape(-1, *effects.shape[2:])
        expected = unforeseen(linear_mean(linear), effects)
        added = corrections(nowcast, mean, plain, x, expected)
        spread = by_lead(nowcast.spread, horizon) if n_samples else 1.0
        return lambda values: plain + added + spread * (values - plain)

    def _nowcasting(self, scaling: Scaling, data: TrainingData, calendar: Calendar, module: Any) -> Scaling:
        """Return the scaling with what covariates of the past say of the next step, after a model was fitted."""
        model = _linear_model(module)
        if data.scaled.drivers is None or model is None:
            return scaling
        around = data.scaled.grid.around(self.periodic)
        return fit_nowcast(model, scaling, data.scaled, calendar, data.windows, data.window, around)

    def _bounds(
        self, history: Series, times: pd.Index, origins: np.ndarray, horizon: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the natural bounds of what is forecast from `origins`, (sample * origin, horizon, channel, y, x)."""
        if not self.bounded:
            return None
        bounds = self.scaling_.bounds([times[origins + 1 + lead] for lead in range(horizon)], history.drivers)
        if bounds is None:
            return None
        low, high = (np.tile(bound, (history.values.shape[0], 1, 1, 1, 1)) for bound in bounds)
        return low, high

    def _clocks(self, history: Series, origins: np.ndarray) -> np.ndarray | None:
        """Return the time features of the first step of each context, (sample * origin, n_clock)."""
        if self.time_features_ is None:
            return None
        clocks = self.time_features_.at(history.times[origins - self.context + 1])
        return np.tile(clocks, (history.values.shape[0], 1))

    # Saving

    def _learned(self) -> dict[str, Any]:
        transformer = self.scaling_.transformer
        # exact types: a subclass may hold what the file has no form for
        if type(transformer) not in OURS:
            raise ValueError(
                f"transformer={self.transformer!r} can not be saved: use MinMaxTransformer, LogTransformer or Anomaly, "
                "or keep the forecaster with joblib.dump"
            )
        state = self.module_.state_dict()
        return {
            "transformer": transformer,
            "climatology": self.scaling_.climatology,
            "compared": scores_of(self.climatology_),
            "statistics": self.scaling_.statistics,
            "n_windows": self.n_windows_,
            "history": [dict(record) for record in vars(self).get("history_", [])],
            "module": {name: as_array(name, state[name]) for name in sorted(set(first_names(self.module_).values()))},
        } | response_parts(self.scaling_)

    def _relearn(self, learned: dict[str, Any]) -> dict[str, Any]:
        # The module is built without memory for its weights, so that sizes are known before anything is that large.
        self.check_parameters()
        transformer, climatology, scores, statistics, n_windows, history, weights = take(
            learned, "transformer", "climatology", "compared", "statistics", "n_windows", "history", "module"
        )
        check(statistics, FieldStatistics, "learned/statistics")
        shape = self.grid_.shape
        check_array(statistics.mean, shape, "learned/statistics/mean")
        check_transformer(transformer, shape, "learned/transformer")
        if climatology is not None:
            check_array(
                check(climatology, Anomaly, "learned/climatology").cycle_, (None, *shape), "learned/climatology"
            )
        if check(n_windows, int, "learned/n_windows") < 1:
            raise ValueError(f"learned/n_windows={n_windows!r} must be at least 1")
        around = self.grid_.around(self.periodic)
        of_covariates = Saved(self.grid_, self.calendar_, around, self.drivers_).parts(learned.pop("covariates", None))
        time_features = self._make_time_features(self.recent_, self.calendar_)
        spec = self._spec(self.grid_, statistics, time_features, n_windows)
        try:
            with torch.device("meta"):
                module = self._build_module(spec)
        except (*MISFITS, RuntimeError) as error:
            raise ValueError(f"the parameters make no module ({error})") from error
        # assign: tensors on the meta device have no memory to copy into
        module.load_state_dict(tensors(module, check(weights, dict, "learned/module")), assign=True)
        return {
            "module_": module.eval(),
            "transformer_": transformer,
            "scaling_": Scaling(transformer, climatology, statistics, self.calendar_, *of_covariates),
            "climatology_": climatology_table(check_scores(scores), climatology),
            "time_features_": time_features,
            "n_windows_": n_windows,
        } | self._remember(history, module)

    @abstractmethod
    def _remember(self, history: Any, module: nn.Module) -> dict[str, Any]:
        """Return what else is learned, from the records of a training, which may be anything, and its module."""


def _linear_model(module: Any) -> LinearInverseModel | None:
    """Return the linear model that a module is or stands beside; the published networks have none."""
    if isinstance(module, LinearInverseModel):
        return module
    combination = getattr(module, "combination", None)
    return None if combination is None else combination.linear
