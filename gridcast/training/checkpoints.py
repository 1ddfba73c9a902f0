"""Checkpoints of a training: written so that a crash at any moment leaves one that opens."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from gridcast.persistence.atomic import replacing

LAST, BEST, VERSION = "last.ckpt", "best.ckpt", 1  # the version of the content's layout


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
    # monotonic: a clock that is set back would stop the checkpoints
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
            # weights_only: no code of the file runs
            content = torch.load(path, map_location="cpu", weights_only=True)
            version, identity, seed, state = (content[key] for key in ("version", "identity", "seed", "state"))
        except Exception as error:  # a damaged file raises whatever its bytes make of the reader
            raise ValueError(f"checkpoint_dir={str(self.folder)!r}: {LAST} can not be read; {way_out}") from error
        if version != VERSION:
            raise ValueError(f"checkpoint_dir={str(self.folder)!r}: format {version} is not {VERSION}; {way_out}")
        # ours first, in their order, then what only the file has
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
        # a `random_state` of None draws another seed at each call; the training goes on with its own
        self.seed = seed
        return state

    def due(self, step: int) -> bool:
        """Whether the state after `step` steps is to be written."""
        if self.steps is not None:
            return step % self.steps == 0
        # neither given: only the end of the training is written
        return self.seconds is not None and time.monotonic() - self._written >= self.seconds

    def write(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the last state."""
        if self.writes:
            content = {"version": VERSION, "identity": dict(self.identity), "seed": self.seed, "state": state()}
            self._replace(LAST, content)
        # in all processes, so that they agree on what is due
        self._written = time.monotonic()

    def write_best(self, weights: Mapping[str, torch.Tensor], record: Mapping[str, float]) -> None:
        """Write the best weights so far, with the record of their epoch, for whoever looks at a running training."""
        if self.writes:
            self._replace(BEST, {"version": VERSION, "weights": dict(weights), "record": dict(record)})

    def _replace(self, name: str, content: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # beside it, then renamed: a crash leaves the one before
        with replacing(self.folder / name) as file:
            torch.save(content, file)


def describe(value: Any) -> str:
    """Return what tells a parameter from another: its repr, or a digest of its values."""
    # its state moves with every draw; the seed is kept apart
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return type(value).__name__
    if isinstance(value, np.ndarray | xr.DataArray):
        return digest(np.asarray(value))  # a repr would leave most values out
    return repr(value)


def digest(*arrays: np.ndarray) -> str:
    """Return a digest of the values of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        # the same bytes in another shape are other values
        found.update(str((array.shape, array.dtype)).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:12]  # 48 bits: short enough for a message
