"""What the neural forecasters share: windows, training and the description of a torch module."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning_fabric import Fabric
from torch import nn

from gridcast.data.calendars import Calendar
from gridcast.data.covariates import check_time_features, static_fields
from gridcast.data.grid import Series
from gridcast.data.parameters import AUTO, anything, choice, defaults, parameter, real, whole
from gridcast.data.random import draw_seed, generator
from gridcast.forecasters.decisions import decide, gains_nothing, learn_held_out, learns_held_out, seconds_to_decide
from gridcast.forecasters.fitted import check_fitted
from gridcast.forecasters.inverse_model import fit_inverse_model
from gridcast.forecasters.linear import LinearForecaster
from gridcast.forecasters.markov import DOWNSAMPLING
from gridcast.forecasters.patches import check_patch_size, patch_of
from gridcast.forecasters.registry import forecaster
from gridcast.forecasters.scaled import ScaledForecaster, with_threads
from gridcast.forecasters.validation import validation_error
from gridcast.forecasters.warm import Earlier, structure
from gridcast.modules.combination import Combination
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.persistence.forms import check
from gridcast.training.callbacks import Watch
from gridcast.training.checkpoints import Checkpoints
from gridcast.training.data import TrainingData, divide
from gridcast.training.engine import compiled, give_back_memory, make_fabric, place, seeded
from gridcast.training.history import History
from gridcast.training.identity import describe, describe_series, digest
from gridcast.training.loop import train
from gridcast.training.plan import PROBE, TrainingPlan
from gridcast.training.settings import Training, checkpoint_interval
from gridcast.training.spec import ModuleSpec
from gridcast.training.streaming import WindowStream
from gridcast.training.summary import Summary, summarise
from gridcast.transformers.scaling import Scaling

LEAST_SECONDS = 1.0  # of a training whose budget the start has used up
# What may differ between the runs of one training
FREE_PARAMETERS = (
    "device", "verbose", "training", "training__callbacks", "training__checkpoint_dir", "training__checkpoint_every",
)  # fmt: skip


@forecaster
class NeuralForecaster(ScaledForecaster):
    """Base of the forecasters that train a torch module on windows.

    Attributes
    ----------
    module_ : Module
        The trained torch module.
    history_ : History
        A list of one record per epoch, see `gridcast.training.loop.train`; a table in notebooks and by
        ``to_dataframe()``.
    n_parameters_ : int
        Number of trained weights.
    transformer_, scaling_, climatology_, time_features_, n_windows_
        As in `ScaledForecaster`.
    """

    window: int = parameter(whole(2), "int", "Steps of a training window.", default=12)
    batch_size: int = parameter(whole(), "int", "Windows per training step.", default=8)
    max_epochs: int = parameter(whole(), "int", "Largest number of passes over the training windows.", default=10)
    max_steps: int | None = parameter(
        whole(none=True),
        "int or None",
        "Largest number of training steps; the last pass then ends early.",
        default=3000,
    )
    learning_rate: float = parameter(
        real(lambda v: v > 0, "be positive"), "float", "Adam's; the peak of the schedule.", default=1e-3
    )
    patch_size: int | str | None = parameter(
        check_patch_size,
        '"auto", int or None',
        'Train on random patches of this many rows and columns, None on whole fields. ``"auto"`` takes whole fields '
        "where a training step on them keeps less than about 2 GiB, else patches of 96, or fewer where many channels, "
        "windows or steps ask for it. Forecasts are of whole fields always.",
        default=AUTO,
    )
    architecture: str = parameter(
        choice("residual", "paper"),
        '{"residual", "paper"}',
        'The networks: ``"residual"`` ones add to a reference forecast, persistence or a linear inverse model, and see '
        "where in the grid they are; those of Halim and Kawamoto 2020, with the objective of the paper.",
        default="residual",
    )
    static: Any = parameter(
        anything,
        "DataArray, Dataset, list of these, or None",
        "Constant fields on the grid, such as orography or a land mask, that the networks see as well, each scaled to "
        "mean 0 and variance 1; missing values become the mean.",
        default=None,
    )
    time_features: Any = parameter(
        lambda name, value: check_time_features(value),
        '{"season", "day"}, tuple of both, or None',
        "The networks also see the time of the year or the day, as cosine and sine.",
        default=None,
    )
    training: Training = parameter(
        anything,
        "Training",
        "The optimiser, the held-out part, checkpoints and callbacks: `gridcast.Training`.",
        default=Training(),
    )
    verbose: int = parameter(anything, "int", "Progress bar where 1.", default=1)

    _learns_from_patches = True  # False where the latent describes the whole grid

    def _regime(self) -> dict[str, Any] | None:
        """Stages and weight decay of the plan, where a subclass has its own."""

    def _fit_start(self, module: Any, data: TrainingData) -> None:
        """Fit what the networks start from to the training part; nothing, unless a subclass says so."""

    def summary(self) -> Summary:
        """Return what the fitted model is made of and what training it costs; print it, or show it in a notebook.

        Returns
        -------
        Summary
            Its ``parts`` (a DataFrame), ``n_parameters`` and ``cost`` (operations and memory a frame).

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_fitted(self)
        n_clock = 0 if self.time_features_ is None else 2 * len(self.time_features_.names)
        return summarise(
            type(self).__name__,
            self.module_,
            self.grid_.shape,
            self.window,
            stages=(self._regime() or {}).get("stages", ()),
            patches=self._learns_from_patches,
            n_clock=n_clock,
            device=str(next(self.module_.parameters()).device),
        )

    @property
    def linear_(self) -> LinearForecaster:
        """The linear model that the networks are weighed against, a `LinearForecaster`.

        It is fitted to the training part and, once that has decided, to the held-out one as well, unless the series is
        long (more than 64 million values) or the fit went on from an earlier one.

        Raises
        ------
        NotFittedError
            Before `fit`.
        AttributeError
            With ``architecture="paper"``, which has none.
        """
        model = self._combination("has no linear model").linear
        shared = {name: getattr(self, name) for name in defaults(LinearForecaster) if hasattr(self, name)}
        own = {"lags": model.linear.n_lags, "patterns": model.linear.n_patterns}
        return LinearForecaster(**shared | own).with_model(self, model)

    @property
    def decisions_(self) -> pd.DataFrame:
        """What forecasts of the held-out part decided, one row for each lead.

        The columns ``networks``, ``linear`` and ``persistence`` are the weights of the forecast of the trained
        networks, of `linear_` and of the last anomaly; what they leave to 1 goes to the climatology.
        ``spread_networks`` and ``spread_linear`` are the factors of the deviations of the networks' members and of the
        noise of the linear model. ``spread_activity`` is the power of the activity whose value multiplies both: how
        much has changed around a cell of late, in units of what is usual there. ``error_networks``, ... and ``error``
        (``error_linear`` before the linear model has learned the held-out part too) are the squared
        errors of each and of the weighted sum, in units of that of the climatology; ``gain`` is the share of the error
        that the networks take off the best sum without them.

        What stands beside the networks is weighed by forecasts inside the training part as well. Errors are NaN where
        no held-out forecast reaches a lead, at which the networks then have the share of the last that one reached;
        all weight is on the networks where nothing was held out. Members of a channel with natural bounds are
        noise of `linear_` in the shape of a censored distribution.

        Raises
        ------
        NotFittedError
            Before `fit`.
        AttributeError
            With ``architecture="paper"``, whose forecast is that of its networks alone.
        """
        return self._combination('decides nothing by held-out forecasts; use "residual"').table()

    def _combination(self, lacks: str) -> Combination:
        check_fitted(self)
        if self.module_.combination is None:
            raise AttributeError(f"architecture={self.architecture!r} {lacks}")
        return self.module_.combination

    def _dynamics(self) -> LinearInverseModel:
        return self._combination('has no linear model to smooth along; use "residual"').linear

    def _n_lags(self) -> int:
        """Return the lags of the linear model of a forecaster without a parameter for them."""
        return min(defaults(LinearForecaster)["lags"], self.window - 1, self.context)

    @with_threads
    def _fit(self, series: Series, calendar: Calendar) -> dict[str, Any]:
        began = time.perf_counter()
        self._check_patches()
        windows, held_out = divide(
            series.values.shape,
            window=self.window,
            stride=self.training.stride,
            context=self.context,
            validation_fraction=self.training.validation_fraction,
        )
        earlier = Earlier.of(self, series, calendar)
        if earlier is not None:
            calendar, held_out = earlier.calendar, earlier.unseen(held_out, series)
        time_features = earlier.time_features if earlier else self._make_time_features(series, calendar)
        static_fields(self.static, series.grid)  # before anything is read: an error in them costs nothing
        fabric = make_fabric(self.device, self.training.precision)
        if earlier is None:
            scaling, scaled, table = self._scale(series, calendar, windows, self.window)
        else:
            scaling, scaled, table = earlier.scale(series)
        regional = self._patch(series.grid.shape) is not None
        parts = windows, held_out, time_features, regional, series.grid.around(self.periodic)
        data = TrainingData(scaled, scaling, self.window, self.context, *parts, settled=earlier is not None)
        # one seed for all processes, whose modules must start alike
        seed = int(fabric.broadcast(draw_seed(self.random_state)))
        checkpoints = self._checkpoints(series, scaling, seed, fabric, {} if earlier is None else earlier.identity())
        learned = {
            "calendar_": calendar,
            "transformer_": scaling.transformer,
            "scaling_": scaling,
            "climatology_": table,
            "time_features_": time_features,
            "missing_share_": scaling.statistics.missing,
            "n_windows_": len(windows) if earlier is None else earlier.n_windows,
            "history_": [],
            "_trained_with": structure(self, series.grid),
        } | ({} if earlier is None else earlier.period(series))
        with contextlib.nullcontext() if checkpoints is None else checkpoints.held():
            self._train(series, calendar, data, learned, seed, fabric, checkpoints, began, earlier)
        return learned | {"n_observed": scaling.counted(scaled)}

    def _train(
        self,
        series: Series,
        calendar: Calendar,
        data: TrainingData,
        learned: dict[str, Any],
        seed: int,
        fabric: Fabric,
        checkpoints: Checkpoints | None,
        began: float,
        earlier: Earlier | None,
    ) -> None:
        """Add to `learned` what is trained, by a fit that began at a time of `time.perf_counter`."""
        saved = None
        if checkpoints is not None:
            saved = checkpoints.read()
            seed = checkpoints.seed  # that of the training which is resumed
        scaling, time_features = data.scaling, learned["time_features_"]
        # weights, noise and draws of the training; the user's random numbers stay as they were
        with seeded(seed):
            spec = self._spec(series.grid, scaling.statistics, time_features, len(data.windows))
            module: Any = self._build_module(spec) if earlier is None else earlier.module()
            linear_began = time.perf_counter()
            if earlier is None:
                if module.combination is not None:
                    module.combination.earlier, _ = fit_inverse_model(module.combination.linear, data, self.bounded)
                self._fit_start(module, data)
            give_back_memory()
            linear_seconds = time.perf_counter() - linear_began
            learned["module_"] = place(module, fabric)
            learned["n_parameters_"] = sum(p.numel() for p in module.parameters())
            watch = Watch(self.training.callbacks, self._as_fitted(learned | self._origin(learned, series, calendar)))
            plan = self._plan(module, data, began, linear_seconds)
            plan = plan if earlier is None else earlier.plan(plan)
            with compiled(module, self.training.compile):
                learned["history_"] = history = train(
                    module,
                    self._stream(data, spec, seed, fabric),
                    validation_error(data, self.training.validation_fraction),
                    plan,
                    fabric,
                    checkpoints,
                    saved,
                    watch.on_epoch_end,
                    lambda trained: gains_nothing(trained, data),  # type: ignore[arg-type]
                )
            give_back_memory()
            learned["recalibration_"] = decide(module, data, self.bounded, networks=not history.stopped_early)
            give_back_memory()
            if earlier is None:  # a linear model of the new series alone would forget the old one
                learn_held_out(module, data)
        learned["scaling_"] = self._nowcasting(scaling, data, calendar, learned["module_"])
        watch.on_fit_end(learned)

    def _remember(self, history: Any, module: nn.Module) -> dict[str, Any]:
        for record in check(history, list, "learned/history"):
            for name, value in check(record, dict, "a record of learned/history").items():
                check(value, (int, float), f"learned/history/{name}")
        learned = {"history_": History(history), "_trained_with": structure(self, self.grid_)}
        return learned | {"n_parameters_": sum(p.numel() for p in module.parameters())}

    def _check_patches(self) -> None:
        if self.patch_size not in (None, AUTO) and not self._learns_from_patches:
            raise ValueError(
                f"patch_size={self.patch_size!r}: the latent vector of a {type(self).__name__} describes the whole "
                'grid; leave patch_size="auto", or use CNMMForecaster'
            )

    def _checkpoints(
        self, series: Series, scaling: Scaling, seed: int, fabric: Fabric, further: dict[str, str]
    ) -> Checkpoints | None:
        """Return where this training is kept, if anywhere, and what tells it from another."""
        settings = self.training
        if settings.checkpoint_dir is None:
            return None
        fixed = {name: value for name, value in self.get_params(deep=True).items() if name not in FREE_PARAMETERS}
        identity = {
            name.removeprefix("training__"): describe(value)
            for name, value in fixed.items()
            if not hasattr(value, "get_params")  # their own parameters are listed beside them
        }
        learned = [
            v for k, v in sorted(vars(scaling.transformer).items()) if k.endswith("_") and isinstance(v, np.ndarray)
        ]
        identity |= further | {"forecaster": type(self).__name__} | describe_series(series)
        identity["the scaled values of X"] = digest(scaling.statistics.mean, scaling.statistics.std, *learned)
        steps, seconds = checkpoint_interval(settings.checkpoint_every)
        return Checkpoints(Path(settings.checkpoint_dir), identity, seed, steps, seconds, fabric.is_global_zero)

    def _stream(self, data: TrainingData, spec: ModuleSpec, seed: int, fabric: Fabric) -> WindowStream:
        noise = self.training.observation_noise
        return WindowStream(
            data.scaled.values,
            data.windows,
            self.window,
            self.batch_size,
            data.scaling.default,
            generator(seed),
            patch=self._patch(spec.shape),
            # patches fold into the same blocks as the whole grid does
            alignment=DOWNSAMPLING,
            cycle=data.cycle,
            noise=data.noise(noise) if noise else None,
            clock=data.clock,
            n_observed=data.scaled.n_observed,
            buffer_bytes=self.training.buffer_bytes,
            pin=fabric.device.type == "cuda",  # elsewhere page-locked memory serves nothing
            process=fabric.global_rank,
            n_processes=fabric.world_size,
        )

    def _patch(self, shape: tuple[int, int, int]) -> tuple[int, int] | None:
        """Return rows and columns of the patches that are trained on; None for whole fields."""
        # of the grid and the parameters alone: a saved model finds the same
        patch_size = self.patch_size if self._learns_from_patches else None
        return patch_of(patch_size, shape, self.batch_size * self.window)

    def _plan(self, module: Any, data: TrainingData, began: float, linear_seconds: float) -> TrainingPlan:
        # a cycle of its own for the part after which it is asked whether the training pays: its end tells
        stages = {"stages": (PROBE,)} if self.architecture == "residual" else {}
        seconds = None
        if self.training.max_minutes is not None:
            # the budget is that of the whole fit: what came before and what comes after the training is part of it
            after = seconds_to_decide(module, data)
            if learns_held_out(module, data):
                after += linear_seconds  # at most: hindcasts are not made again
            seconds = max(LEAST_SECONDS, 60 * self.training.max_minutes - (time.perf_counter() - began) - after)
        return TrainingPlan(
            max_epochs=self.max_epochs,
            max_steps=self.max_steps,
            learning_rate=self.learning_rate,
            schedule=self.training.schedule,  # type: ignore[arg-type]
            gradient_clip=self.training.gradient_clip,
            patience=self.training.patience,
            max_seconds=seconds,
            verbose=self.verbose,
            **self._regime() or stages,
        )
