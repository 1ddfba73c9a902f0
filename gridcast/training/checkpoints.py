"""Checkpoints of a training: written so that a crash at any moment leaves one that opens."""

from __future__ import annotations

import hashlib
import numbers
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from gridcast.data.grid import Series
from gridcast.persistence.atomic import replacing
from gridcast.transformers.scaling import Scaling

LAST, BEST, VERSION = "last.ckpt", "best.ckpt", 1
# What may differ between the runs of one training
FREE_PARAMETERS = ("callbacks", "checkpoint_dir", "checkpoint_every", "device", "strategy", "verbose")


@dataclass
class Checkpoints:
    """A folder with the last state of a training and the best weights so far.

    Parameters
    ----------
    folder : Path
    identity : mapping of str to str
        What the training depends on; a state of another training is refused.
    seed : int
        Of the training; after `read`, that of the training that was read.
    steps, seconds : int, float or None
        Write after so many steps, or seconds.
    writes : bool
        Of processes that train together, one writes.
    """

    folder: Path
    identity: Mapping[str, str]
    seed: int = 0
    steps: int | None = None
    seconds: float | None = None
    writes: bool = True
    _written: float = field(default_factory=time.monotonic, init=False)

    def read(self) -> dict[str, Any] | None:
        """Return the last state, on the CPU, or None where there is none.

        Raises
        ------
        ValueError
            If the file is not a checkpoint, or one of a training with other parameters or data.
        """
        path = self.folder / LAST
        if not path.exists():
            return None
        way_out = f"remove {path}, or give another checkpoint_dir"
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            version, identity, seed, state = (content[key] for key in ("version", "identity", "seed", "state"))
        except Exception as error:  # a damaged file raises whatever its bytes make of the reader
            raise ValueError(f"checkpoint_dir={str(self.folder)!r}: {LAST} can not be read; {way_out}") from error
        if version != VERSION:
            raise ValueError(f"checkpoint_dir={str(self.folder)!r}: format {version} is not {VERSION}; {way_out}")
        names = [*self.identity, *(name for name in identity if name not in self.identity)]
        differing = [
            f"{name} was {identity.get(name, 'absent')} and is {self.identity.get(name, 'absent')}"
            for name in names
            if identity.get(name) != self.identity.get(name)
        ]
        if differing:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} holds another training: {'; '.join(differing)}. To train anew "
                f"{way_out}"
            )
        self.seed = seed
        return state

    def due(self, step: int) -> bool:
        """Whether the state after `step` steps is to be written."""
        if self.steps is not None:
            return step % self.steps == 0
        return self.seconds is not None and time.monotonic() - self._written >= self.seconds

    def write(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the last state."""
        if self.writes:
            content = {"version": VERSION, "identity": dict(self.identity), "seed": self.seed, "state": state()}
            self._replace(LAST, content)
        self._written = time.monotonic()

    def write_best(self, weights: Mapping[str, torch.Tensor], record: Mapping[str, float]) -> None:
        """Write the best weights so far, with the record of their epoch, for whoever looks at a running training."""
        if self.writes:
            self._replace(BEST, {"version": VERSION, "weights": dict(weights), "record": dict(record)})

    def _replace(self, name: str, content: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / name) as file:
            torch.save(content, file)


def check_checkpoint_every(every: Any) -> tuple[int | None, float | None]:
    """Return the steps or the seconds between two checkpoints."""
    try:
        if isinstance(every, numbers.Integral) and not isinstance(every, bool) and int(every) >= 1:
            return int(every), None
        if isinstance(every, str) and (seconds := pd.Timedelta(every).total_seconds()) > 0:
            return None, seconds
    except ValueError:
        pass
    raise ValueError(f'checkpoint_every={every!r} must be a number of steps or a duration such as "10min"')


def make_checkpoints(forecaster: Any, series: Series, scaling: Scaling, seed: int, writes: bool) -> Checkpoints:
    """Return the checkpoints of a forecaster with a `checkpoint_dir`."""
    steps, seconds = check_checkpoint_every(forecaster.checkpoint_every)
    identity = training_identity(forecaster, series, scaling)
    return Checkpoints(Path(forecaster.checkpoint_dir), identity, seed, steps, seconds, writes)


def training_identity(forecaster: Any, series: Series, scaling: Scaling) -> dict[str, str]:
    """Return what a training depends on, by name, in words or as a digest."""
    parameters = forecaster.get_params(deep=True)
    fixed = {name: value for name, value in parameters.items() if name not in FREE_PARAMETERS}
    identity = {name: _text(value) for name, value in fixed.items() if not hasattr(value, "get_params")}
    statistics = scaling.statistics
    learned = [v for k, v in sorted(vars(scaling.transformer).items()) if k.endswith("_") and isinstance(v, np.ndarray)]
    chunks = getattr(series.values, "chunks", None)
    return identity | {
        "forecaster": type(forecaster).__name__,
        "the shape of X": str(tuple(series.values.shape)),
        "the period of X": f"{series.times[0]} to {series.times[-1]}",
        "the values of X": _digest(statistics.mean, statistics.std, *learned),
        "the chunks of X": "none, in memory" if chunks is None else str(chunks[:2]),
    }


def _text(value: Any) -> str:
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return type(value).__name__
    if isinstance(value, np.ndarray | xr.DataArray):
        return _digest(np.asarray(value))
    return repr(value)


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]
