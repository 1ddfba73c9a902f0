"""What the neural forecasters share: scaling, windows, training and batched forecasts of a torch module."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from lightning_fabric import Fabric
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gridcast.data.calendars import Calendar
from gridcast.data.covariates import make_time_features, static_fields
from gridcast.data.grid import Series, extend
from gridcast.data.random import draw_seed, generator
from gridcast.forecasters.base import BaseForecaster
from gridcast.forecasters.parameters import check_training_parameters
from gridcast.forecasters.rebuild import rebuild, trained_values
from gridcast.training.callbacks import Watch
from gridcast.training.checkpoints import make_checkpoints
from gridcast.training.data import TrainingData, divide
from gridcast.training.engine import compiled, make_fabric, place, seeded
from gridcast.training.loop import TrainingPlan, train
from gridcast.training.spec import ModuleSpec, make_spec
from gridcast.training.streaming import WindowStream
from gridcast.training.summary import Summary, summarise
from gridcast.transformers.minmax import MinMaxTransformer
from gridcast.transformers.scaling import Scaling

BATCH_BYTES = 256 * 2**20


class NeuralForecaster(BaseForecaster):
    """Base of the forecasters that train a torch module on windows.

    Parameters
    ----------
    window : int, default=12
        Steps of a training window.
    context : int, default=10
        Observed steps that a forecast starts from.
    stride : int, default=1
        Steps between the starts of two training windows.
    batch_size : int, default=8
        Windows per training step.
    max_epochs : int, default=10
        Largest number of passes over the training windows.
    max_steps : int or None, default=3000
        Largest number of training steps; the last pass then ends early.
    learning_rate : float
        Adam's; the peak of the schedule.
    learning_rate_schedule : {"one_cycle", "constant"}
        Linear warm-up and cosine decay, or none.
    gradient_clip : float or None
        Largest norm of the gradient.
    validation_fraction : float, default=0.1
        Share of the training series, at its end (of independent samples, the last ones), whose one-step forecast error
        decides which epoch's weights are kept; 0 keeps those of the smallest training loss.
    patience : int or None
        Epochs without a smaller validation error after which training stops.
    patch_size : int or None
        Train on random patches of this many rows and columns, None on whole fields.
    location_features : bool, default=True
        The networks see the training mean and standard deviation of each cell and its position in the grid.
    residual : bool, default=True
        Residual connections, initialised so that the untrained model is a reference forecast: a linear inverse model
        (``CNMMForecaster``, ``DMMForecaster``) or persistence (``ConvLSTMForecaster``).
    climatology : {"auto", "year", "day", "mean"}, int or None, default="auto"
        Mean cycle that is subtracted from the scaled series before the networks see it and added to their forecasts, as
        `gridcast.Anomaly` learns it: ``"auto"`` takes the year where the series covers one, else the day where it
        covers a week, else the mean of each cell. None leaves the series as it is.
    bounded : bool, default=True
        Clip forecasts to the smallest or largest value of the training series where at least a hundredth of its values
        are there: rain stays non-negative, a concentration at most 1. A temperature has no such bound.
    observation_noise : float, default=1.75
        Largest standard deviation of the Gaussian noise that is added to a quarter of the training windows, in units
        of the standard deviation of the change from one step to the next; the smallest is a 40th of it. Forecasts from
        observations that are noisier than the training series need it. 0 adds none.
    buffer_bytes : int, default=268435456
        Memory for what training reads ahead of a dask-backed series, whatever its size. At least several of its chunks.
    precision : str, default="32"
        ``"32"`` or ``"bf16-mixed"``, as in Lightning Fabric.
    device : str, default="auto"
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
    strategy : str, default="auto"
        Lightning Fabric's strategy.
    compile : bool, default=False
        Train through ``torch.compile``, where that works; the first steps then take longer.
    checkpoint_dir : str, Path or None
        Folder in which the training is kept. A `fit` with the same data and parameters goes on from there and ends with
        the weights of an uninterrupted training; other data or parameters are a ValueError. One folder for each
        training: leave it out in a search.
    checkpoint_every : int or str, default="5min"
        Steps, or a duration, between two checkpoints.
    callbacks : list of gridcast.callbacks.Callback or None
        Called before, during and after the training.
    static : DataArray, Dataset, list of these, or None
        Constant fields on the grid, such as orography or a land mask, that the networks see as well, each scaled to
        mean 0 and variance 1; missing values become the mean.
    time_features : {"season", "day"}, tuple of both, or None
        The networks also see the time of the year or the day, as cosine and sine.
    transformer : transformer, default=MinMaxTransformer()
        Scales the series before training and is undone in every forecast; cloned to ``transformer_``.
    longitude : {"auto", "periodic", "bounded"}, default="auto"
        Whether the last dimension goes around the globe; detected from its coordinate by default.
    random_state : int, RandomState or None
        Seed of the initial weights, the order of the windows and the samples.
    verbose : int, default=1
        Progress bar where 1.

    Attributes
    ----------
    module_ : Module
        The trained torch module.
    transformer_ : transformer
        The fitted transformer.
    history_ : History
        A list of one record per epoch, see `gridcast.training.loop.train`; a table in notebooks and by
        ``to_dataframe()``.
    n_parameters_ : int
        Number of trained weights.
    scaling_ : Scaling
        The transformer, the climatology and the statistics of the scaled training series.
    time_features_ : TimeFeatures or None
        How the time of a step is told.
    n_windows_ : int
        Number of training windows.
    """

    _not_saved: ClassVar[tuple[str, ...]] = ("callbacks", "checkpoint_dir")

    downsampling: int
    kernel_size: int
    _learns_from_patches = True

    def __init__(
        self,
        *,
        window: int,
        context: int,
        stride: int,
        batch_size: int,
        max_epochs: int,
        max_steps: int | None,
        learning_rate: float,
        learning_rate_schedule: str,
        gradient_clip: float | None,
        validation_fraction: float,
        patience: int | None,
        patch_size: int | None,
        location_features: bool,
        residual: bool,
        climatology: Any,
        bounded: bool,
        observation_noise: float,
        buffer_bytes: int,
        precision: str,
        device: str,
        strategy: str,
        compile: bool,
        checkpoint_dir: Any,
        checkpoint_every: int | str,
        callbacks: Any,
        static: Any,
        time_features: Any,
        transformer: Any,
        longitude: str,
        random_state: Any,
        verbose: int,
    ) -> None:
        self.window = window
        self.context = context
        self.stride = stride
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.gradient_clip = gradient_clip
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.patch_size = patch_size
        self.location_features = location_features
        self.residual = residual
        self.climatology = climatology
        self.bounded = bounded
        self.observation_noise = observation_noise
        self.buffer_bytes = buffer_bytes
        self.precision = precision
        self.device = device
        self.strategy = strategy
        self.compile = compile
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.callbacks = callbacks
        self.static = static
        self.time_features = time_features
        self.transformer = transformer
        self.longitude = longitude
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        """Return an untrained module with methods `loss` and `forecast`."""

    def _fit_start(self, module: Any, data: TrainingData) -> None:
        """Fit what the networks start from to the training part; by default nothing."""

    architecture = "residual"

    @abstractmethod
    def _check_architecture(self) -> None:
        """Raise a ValueError that names the first architecture parameter with an impossible value."""

    @property
    @abstractmethod
    def _annealing(self) -> tuple[float, float]:
        """Start and share of training of the KL annealing."""

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
        check_is_fitted(self)
        n_clock = 0 if self.time_features_ is None else 2 * len(self.time_features_.names)
        return summarise(
            type(self).__name__,
            self.module_,
            self.grid_.shape,
            self.window,
            patches=self._learns_from_patches,
            n_clock=n_clock,
            device=str(next(self.module_.parameters()).device),
        )

    def _n_context(self) -> int:
        return self.context

    def _fit(self, series: Series, calendar: Calendar, X: Any) -> dict[str, Any]:
        check_training_parameters(self)
        self._check_architecture()
        windows, held_out = divide(
            series.values.shape,
            window=self.window,
            stride=self.stride,
            context=self.context,
            validation_fraction=self.validation_fraction,
        )
        time_features = make_time_features(self.time_features, series, calendar)
        static = static_fields(self.static, series.grid)
        fabric = make_fabric(self.device, self.precision, self.strategy)
        scaling, scaled = Scaling.fit(self.transformer, self.climatology, X, calendar)
        data = TrainingData(scaled, scaling, self.window, self.context, windows, held_out, time_features)
        checkpoints, seed = None, int(fabric.broadcast(draw_seed(self.random_state)))
        if self.checkpoint_dir is not None:
            checkpoints = make_checkpoints(self, series, scaling, seed, fabric.is_global_zero)
        saved = None if checkpoints is None else checkpoints.read()
        seed = seed if checkpoints is None else checkpoints.seed
        learned = {
            "transformer_": scaling.transformer,
            "scaling_": scaling,
            "time_features_": time_features,
            "missing_share_": scaling.statistics.missing,
            "n_windows_": len(windows),
            "history_": [],
        }
        with seeded(seed):
            spec = make_spec(self, series.grid, scaling.statistics, static, time_features, len(windows))
            module = self._build_module(spec)
            self._fit_start(module, data)
            module = learned["module_"] = place(module, fabric)
            learned["n_parameters_"] = sum(p.numel() for p in module.parameters())
            watch = Watch(self, learned, series, calendar)
            with compiled(module, self.compile):
                learned["history_"] = train(
                    module,
                    self._stream(data, spec, seed, fabric),
                    self._validation(data) if len(held_out) else None,
                    self._plan(),
                    fabric,
                    checkpoints,
                    saved,
                    watch.on_epoch_end,
                )
        watch.on_fit_end()
        return learned

    def _learned(self) -> dict[str, Any]:
        return trained_values(self)

    def _relearn(self, learned: dict[str, Any]) -> dict[str, Any]:
        return rebuild(self, learned)

    def _forecast(self, history: Series, origins: np.ndarray, horizon: int, n_samples: int | None) -> np.ndarray:
        n_series, (_, rows, columns) = history.values.shape[0], history.grid.shape
        out = np.empty((n_samples or 1, n_series, len(origins), horizon, *history.grid.shape), dtype=np.float32)
        frame_bytes = 4 * 64 * rows * columns * n_series
        n_members = max(1, min(n_samples or 1, BATCH_BYTES // (frame_bytes * horizon)))
        n_batch = max(1, BATCH_BYTES // (frame_bytes * max(self.context, horizon * n_members)))
        batches = [origins[start : start + n_batch] for start in range(0, len(origins), n_batch)]
        with seeded(draw_seed(self.random_state)):
            start = 0
            for batch, context in zip(batches, self.scaling_.contexts(history, batches, self.context), strict=True):
                inputs = *context, self._clocks(history, batch)
                for member in range(0, n_samples or 1, n_members):
                    n = min(n_members, (n_samples or 1) - member) if n_samples else 0
                    values = self._forecast_scaled(self.module_, inputs, horizon, n)
                    out[member : member + max(n, 1), :, start : start + len(batch)] = values.reshape(
                        -1, n_series, len(batch), *values.shape[2:]
                    )
                start += len(batch)
        times = extend(history.times, self._times_after(history, horizon))
        leads = [times[origins + 1 + lead] for lead in range(horizon)]
        return self.scaling_.restore(out, history, leads, self.bounded)

    def _forecast_scaled(
        self,
        module: nn.Module,
        inputs: tuple[np.ndarray, np.ndarray, np.ndarray | None],
        horizon: int,
        n_samples: int,
    ) -> np.ndarray:
        """Return scaled means, or draws, (member, batch, horizon, channel, y, x), from contexts, masks and clocks."""
        device = next(module.parameters()).device
        x, mask, clock = (None if t is None else torch.as_tensor(t, device=device) for t in inputs)
        forecast: Any = module.forecast
        loc, scale = forecast(x, mask, horizon, n_samples, clock)
        values = loc + scale * torch.randn_like(loc) if n_samples else loc
        return values.float().cpu().numpy()

    def _clocks(self, history: Series, origins: np.ndarray) -> np.ndarray | None:
        """Return the time features of the first step of each context, (sample * origin, n_clock)."""
        if self.time_features_ is None:
            return None
        clocks = self.time_features_.at(history.times[origins - self.context + 1])
        return np.tile(clocks, (history.values.shape[0], 1))

    def _stream(self, data: TrainingData, spec: ModuleSpec, seed: int, fabric: Fabric) -> WindowStream:
        return WindowStream(
            data.scaled.values,
            data.windows,
            self.window,
            self.batch_size,
            data.scaling.default,
            generator(seed),
            patch=self._patch(spec.shape),
            alignment=self.downsampling,
            cycle=data.cycle,
            noise=data.noise(self.observation_noise) if self.observation_noise else None,
            clock=data.clock,
            buffer_bytes=self.buffer_bytes,
            pin=fabric.device.type == "cuda",
            process=fabric.global_rank,
            n_processes=fabric.world_size,
        )

    def _validation(self, data: TrainingData) -> Callable[[nn.Module], float]:
        """Return a function of a module: its mean squared error in the held-out one-step forecasts, scaled."""
        x, mask, clock, truth = data.validation()
        n_batch = max(1, BATCH_BYTES // (4 * 64 * x[0].size))

        def error(module: nn.Module) -> float:
            total = []
            for i in range(0, len(x), n_batch):
                part = slice(i, i + n_batch)
                inputs = x[part], mask[part], None if clock is None else clock[part]
                total.append(self._forecast_scaled(module, inputs, 1, 0)[0, :, 0])
            return float(np.nanmean(np.square(np.concatenate(total) - truth, dtype=np.float64)))

        return error

    def _patch(self, shape: tuple[int, int, int]) -> tuple[int, int] | None:
        if self.patch_size is None:
            return None
        size = max(self.patch_size // self.downsampling, 1) * self.downsampling
        rows, columns = (min(size, n) for n in shape[1:])
        return None if (rows, columns) == shape[1:] else (rows, columns)

    def _plan(self) -> TrainingPlan:
        return TrainingPlan(
            max_epochs=self.max_epochs,
            max_steps=self.max_steps,
            learning_rate=self.learning_rate,
            schedule=self.learning_rate_schedule,  # type: ignore[arg-type]
            gradient_clip=self.gradient_clip,
            annealing=self._annealing,
            patience=self.patience,
            verbose=self.verbose,
        )


DEFAULT_TRANSFORMER = MinMaxTransformer()
