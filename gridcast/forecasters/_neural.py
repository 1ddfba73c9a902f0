"""What the neural forecasters share: scaling, windows, training and batched forecasts of a torch module."""

from __future__ import annotations

import functools
from abc import abstractmethod
from typing import Any

import dask
import numpy as np
import torch
from torch import nn

from gridcast.calendars import Calendar
from gridcast.fields import fill_missing
from gridcast.forecasters._base import BaseForecaster, check_positive_integer
from gridcast.forecasters._random import draw_seed, generator
from gridcast.forecasters._scaling import Scaling
from gridcast.forecasters._spec import ModuleSpec, location_channels
from gridcast.grid import Series, extend
from gridcast.preprocessing import MinMaxTransformer
from gridcast.streaming import Cycle, Noise, WindowStream
from gridcast.training import TrainingPlan, make_fabric, place, seeded, train
from gridcast.windows import WindowSplitter

N_VALIDATION = 32
BATCH_BYTES = 256 * 2**20
STRETCH_CELLS = 2**26
READ_TOGETHER = 32
NOISE_SHARE, NOISE_RANGE = 0.25, 40.0


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
        `gridcast.Anomaly` learns it: ``"auto"`` takes the year where the series covers one, else the day where it has
        several steps a day, else the mean of each cell. None leaves the series as it is.
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
    history_ : list of dict
        One record per epoch, see `gridcast.training.train`.
    n_parameters_ : int
        Number of trained weights.
    scaling_ : Scaling
        The transformer, the climatology and the statistics of the scaled training series.
    """

    downsampling: int
    kernel_size: int

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
        self.transformer = transformer
        self.longitude = longitude
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        """Return an untrained module with methods `loss` and `forecast`."""

    @abstractmethod
    def _check_architecture(self) -> None:
        """Raise a ValueError that names the first architecture parameter with an impossible value."""

    @property
    @abstractmethod
    def _annealing(self) -> tuple[float, float]:
        """Start and share of training of the KL annealing."""

    def _n_context(self) -> int:
        return self.context

    def _fit(self, series: Series, calendar: Calendar | None, X: Any) -> dict[str, Any]:
        self._check_parameters()
        WindowSplitter(self.window, self.stride).windows(len(series))  # long enough for one window
        fabric = make_fabric(self.device, self.precision, self.strategy)
        scaling, scaled = Scaling.fit(self.transformer, self.climatology, X, calendar)
        seed = fabric.broadcast(draw_seed(self.random_state))
        windows, held_out = self._divide(series)
        stretches = functools.partial(self._stretches, scaled, scaling, windows)
        spec = self._spec(series, scaling, stretches)
        with seeded(seed):
            module = place(self._build_module(spec), fabric)
            stream = WindowStream(
                scaled.values,
                windows,
                self.window,
                self.batch_size,
                scaling.default,
                generator(seed),
                patch=self._patch(spec.shape),
                alignment=self.downsampling,
                cycle=_cycle(scaling, scaled),
                noise=self._noise(scaled, scaling, windows) if self.observation_noise else None,
                buffer_bytes=self.buffer_bytes,
                pin=fabric.device.type == "cuda",
                process=fabric.global_rank,
                n_processes=fabric.world_size,
            )
            validate = self._validation(scaled, held_out, scaling) if len(held_out) else None
            history = train(module, stream, validate, self._plan(), fabric)
        return {
            "module_": module,
            "transformer_": scaling.transformer,
            "scaling_": scaling,
            "history_": history,
            "n_parameters_": sum(p.numel() for p in module.parameters()),
        }

    def _forecast(self, history: Series, origins: np.ndarray, horizon: int, n_samples: int | None) -> np.ndarray:
        n_series, (_, rows, columns) = history.values.shape[0], history.grid.shape
        out = np.empty((n_samples or 1, n_series, len(origins), horizon, *history.grid.shape), dtype=np.float32)
        frame_bytes = 4 * 64 * rows * columns * n_series
        n_members = max(1, min(n_samples or 1, BATCH_BYTES // (frame_bytes * horizon)))
        n_batch = max(1, BATCH_BYTES // (frame_bytes * max(self.context, horizon * n_members)))
        with seeded(draw_seed(self.random_state)):
            for start in range(0, len(origins), n_batch):
                batch = origins[start : start + n_batch]
                x, mask = self.scaling_.contexts(history, batch, self.context)
                for member in range(0, n_samples or 1, n_members):
                    n = min(n_members, (n_samples or 1) - member) if n_samples else 0
                    values = self._forecast_scaled(self.module_, x, mask, horizon, n)
                    out[member : member + max(n, 1), :, start : start + len(batch)] = values.reshape(
                        -1, n_series, len(batch), *values.shape[2:]
                    )
        times = extend(history.times, self._times_after(history, horizon))
        leads = [times[origins + 1 + lead] for lead in range(horizon)]
        return self.scaling_.restore(out, history, leads, self.bounded)

    def _forecast_scaled(
        self, module: nn.Module, x: np.ndarray, mask: np.ndarray, horizon: int, n_samples: int
    ) -> np.ndarray:
        """Return scaled means, or draws, (member, batch, horizon, channel, y, x)."""
        device = next(module.parameters()).device
        forecast: Any = module.forecast
        loc, scale = forecast(
            torch.as_tensor(x, device=device), torch.as_tensor(mask, device=device), horizon, n_samples
        )
        values = loc + scale * torch.randn_like(loc) if n_samples else loc
        return values.float().cpu().numpy()

    def _divide(self, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """Return (sample, first step) of the training windows and (sample, origin) of the validation forecasts."""
        n_samples, n_times = series.values.shape[:2]
        starts = WindowSplitter(self.window, self.stride).windows(n_times)
        samples = np.arange(n_samples)
        if n_samples > 1:
            n_held = round(self.validation_fraction * n_samples)
            held, samples = samples[n_samples - n_held :], samples[: n_samples - n_held]
            origins = np.arange(self.context - 1, n_times - 1)
        else:
            n_held = round(self.validation_fraction * n_times)
            last_start = n_times - n_held - self.window
            if n_held and last_start < 0:
                raise ValueError(
                    f"X has {n_times} steps: validation_fraction={self.validation_fraction} leaves {n_times - n_held} "
                    f"for training, shorter than window={self.window}; give a longer series, a shorter window, or "
                    "validation_fraction=0"
                )
            held, starts = samples[: min(n_held, 1)], starts[starts <= last_start]
            origins = np.arange(max(n_times - n_held, self.context) - 1, n_times - 1)
        pairs = np.array(np.meshgrid(held, origins, indexing="ij")).reshape(2, -1).T
        chosen = np.unique(np.linspace(0, max(len(pairs) - 1, 0), N_VALIDATION).astype(int))
        windows = np.array(np.meshgrid(samples, starts, indexing="ij")).reshape(2, -1).T
        return windows, pairs[chosen] if len(pairs) else pairs

    def _validation(self, scaled: Series, held_out: np.ndarray, scaling: Scaling) -> Any:
        """Return a function of a module: its mean squared one-step error on `held_out` (sample, origin), scaled."""
        n = self.context + 1
        blocks = _read(scaled, scaling, held_out - (0, self.context - 1), n)
        x, mask = fill_missing(blocks[:, : self.context], scaling.default)
        truth = blocks[:, self.context]
        n_batch = max(1, BATCH_BYTES // (4 * 64 * x[0].size))

        def error(module: nn.Module) -> float:
            total = [
                self._forecast_scaled(module, x[i : i + n_batch], mask[i : i + n_batch], 1, 0)[0, :, 0]
                for i in range(0, len(x), n_batch)
            ]
            return float(np.nanmean(np.square(np.concatenate(total) - truth, dtype=np.float64)))

        return error

    def _stretches(self, scaled: Series, scaling: Scaling, windows: np.ndarray, n_steps: int) -> torch.Tensor:
        """Return stretches at evenly spaced training windows; see `ModuleSpec`."""
        n = int(np.clip(STRETCH_CELLS // (n_steps * int(np.prod(scaled.grid.shape))), 1, len(windows)))
        chosen = windows[np.linspace(0, len(windows) - 1, n).astype(int)]
        return torch.from_numpy(fill_missing(_read(scaled, scaling, chosen, n_steps), scaling.default)[0])

    def _noise(self, scaled: Series, scaling: Scaling, windows: np.ndarray) -> Noise:
        """Return the noise for training, relative to the changes from one step to the next."""
        n = int(np.clip(STRETCH_CELLS // (2 * int(np.prod(scaled.grid.shape))), 1, min(len(windows), 500)))
        blocks = _read(scaled, None, windows[np.linspace(0, len(windows) - 1, n).astype(int)], 2)
        change = np.sqrt(np.nanmean(np.square(blocks[:, 1] - blocks[:, 0]), axis=(0, 2, 3)))[:, None, None]
        high = self.observation_noise * np.maximum(change, 1e-6)
        bounds = (scaling.statistics.low[:, None, None], scaling.statistics.high[:, None, None])
        return Noise(NOISE_SHARE, high / NOISE_RANGE, high, bounds)

    def _spec(self, series: Series, scaling: Scaling, stretches: Any) -> ModuleSpec:
        if self.longitude not in ("auto", "periodic", "bounded"):
            raise ValueError(f'longitude={self.longitude!r} is unknown: use "auto", "periodic" or "bounded"')
        periodic = self.longitude == "periodic" or (self.longitude == "auto" and series.grid.spans_the_globe())
        static = location_channels(scaling.statistics, periodic) if self.location_features else None
        return ModuleSpec(series.grid.shape, scaling.statistics.complete, static, periodic, stretches)

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

    def _check_parameters(self) -> None:
        for name in ("window", "context", "stride", "batch_size", "max_epochs", "buffer_bytes"):
            check_positive_integer(name, getattr(self, name))
        if self.window < 2:
            raise ValueError(f"window={self.window!r} must be at least 2")
        for name in ("patch_size", "max_steps"):
            if getattr(self, name) is not None:
                check_positive_integer(name, getattr(self, name))
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction={self.validation_fraction!r} must be at least 0 and below 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate!r} must be positive")
        if not self.observation_noise >= 0:
            raise ValueError(f"observation_noise={self.observation_noise!r} must not be negative")
        if self.learning_rate_schedule not in ("one_cycle", "constant"):
            raise ValueError(f'learning_rate_schedule={self.learning_rate_schedule!r}: use "one_cycle" or "constant"')
        if self.downsampling not in (1, 2, 4):
            raise ValueError(f"downsampling={self.downsampling!r} must be 1, 2 or 4")
        if self.kernel_size % 2 != 1:
            raise ValueError(f"kernel_size={self.kernel_size!r} must be odd")
        self._check_architecture()


def _read(scaled: Series, scaling: Scaling | None, starts: np.ndarray, n: int) -> np.ndarray:
    """Return `n` steps from each of `starts` (sample, step), as anomalies with `scaling`, gaps as NaN."""
    blocks = np.empty((len(starts), n, *scaled.grid.shape), dtype=np.float32)
    for i in range(0, len(starts), READ_TOGETHER):
        part = starts[i : i + READ_TOGETHER]
        blocks[i : i + len(part)] = np.stack(dask.compute(*(scaled.values[s, t : t + n] for s, t in part)))
    if scaling is None or scaling.climatology is None:
        return blocks
    for block, (_, start) in zip(blocks, starts, strict=True):
        block -= scaling.climatology.climatology(scaled.times[start : start + n])
    return blocks


def _cycle(scaling: Scaling, scaled: Series) -> Cycle | None:
    if scaling.climatology is None:
        return None
    return Cycle(scaling.climatology.cycle_, scaling.climatology.phases(scaled.times))


DEFAULT_TRANSFORMER = MinMaxTransformer()
