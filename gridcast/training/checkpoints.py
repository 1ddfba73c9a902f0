"""Checkpoints of a training: written so that a crash at any moment leaves one that opens."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from filelock import FileLock, Timeout

from gridcast.persistence.atomic import remove_partials, replacing
from gridcast.persistence.refusal import check_plain, refusing, shorten

LAST, BEST, LOCK = "last.ckpt", "best.ckpt", ".lock"
VERSION = 2  # of the contents' layout
# before the bytes of torch, which opens damaged ones without a word
HEAD = re.compile(rb"gridcast checkpoint (\d{1,9})\n([0-9a-f]{64})\n")


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

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other trainings out of the folder; the lock of a process that died is none.

        Raises
        ------
        ValueError
            If another training is in the folder.
        """
        if not self.writes:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r}: another fit that is under way keeps its training there; wait "
                "for its end, or give another checkpoint_dir"
            ) from error
        try:
            for name in (LAST, BEST):
                remove_partials(self.folder / name)
            yield
        finally:
            lock.release()

    def read(self) -> dict[str, Any] | None:
        """Return the last state, on the CPU, or None where there is none.

        Raises
        ------
        ValueError
            If the file is not a checkpoint, damaged, or one of a training with other parameters or data.
        """
        path = self.folder / LAST
        if not path.exists():
            return None
        try:
            content = unpack(path)
        except Exception as error:  # a damaged file raises whatever its bytes make of the reader
            self.refuse(f"can not be read ({shorten(error)})", error)
        if (problem := _misfit(content)) is not None:
            self.refuse(f"is no state of a training ({problem})")
        identity, seed, state = content["identity"], content["seed"], content["state"]
        # ours first, in their order, then what only the file has
        names = [*self.identity, *(name for name in identity if name not in self.identity)]
        differing = [
            f"{name} was {identity.get(name, 'absent')} and is {self.identity.get(name, 'absent')}"
            for name in names
            if identity.get(name) != self.identity.get(name)
        ]
        if differing:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} holds another training: {shorten('; '.join(differing))}. To "
                f"train anew {self._way_out()}"
            )
        # a `random_state` of None draws another seed at each call; the training goes on with its own
        self.seed = seed
        return state

    def refuse(self, problem: str, cause: BaseException | None = None) -> NoReturn:
        """Raise a ValueError that names the last state, what is wrong with it and the way out."""
        text = f"checkpoint_dir={str(self.folder)!r}: {LAST} {problem}; {self._way_out()}"
        raise ValueError(text) from cause

    def _way_out(self) -> str:
        return f"remove {self.folder / LAST}, or give another checkpoint_dir"

    def due(self, step: int) -> bool:
        """Whether the state after `step` steps is to be written."""
        if self.steps is not None:
            return step % self.steps == 0
        # neither given: only the end of the training is written
        return self.seconds is not None and time.monotonic() - self._written >= self.seconds

    def write(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the last state."""
        if self.writes:
            self._pack(LAST, {"identity": dict(self.identity), "seed": self.seed, "state": state()})
        # in all processes, so that they agree on what is due
        self._written = time.monotonic()

    def write_best(self, weights: Mapping[str, torch.Tensor], record: Mapping[str, float]) -> None:
        """Write the best weights so far, with the record of their epoch; see `read_best`."""
        if self.writes:
            self._pack(BEST, {"weights": dict(weights), "record": dict(record)})

    def _pack(self, name: str, content: Mapping[str, Any]) -> None:
        body = io.BytesIO()
        torch.save(content, body)
        sha256 = hashlib.sha256(body.getbuffer()).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        # beside it, then renamed: a crash leaves the one before
        with replacing(self.folder / name) as file:
            file.write(f"gridcast checkpoint {VERSION}\n{sha256}\n".encode())
            file.write(body.getbuffer())


def read_best(folder: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Open the best weights of a training so far, also while it goes on.

    Parameters
    ----------
    folder : str or path
        The `checkpoint_dir` of the training.

    Returns
    -------
    weights : dict of str to Tensor
        Of the forecaster's `module_`, on the CPU.
    record : dict of str to float
        Of their epoch, as `history_` has it.

    Raises
    ------
    ValueError
        If the file is no checkpoint, or damaged.
    FileNotFoundError
        If there is none.
    """
    path = Path(folder) / BEST
    if not path.exists():
        raise FileNotFoundError(f"folder={os.fspath(folder)!r} has no {BEST}: its training has not judged an epoch")
    with refusing(path, "holds no weights"):
        content = unpack(path)
        if not isinstance(content, dict) or set(content) != {"weights", "record"}:
            raise ValueError("it is not of weights and a record")
    return content["weights"], content["record"]


def unpack(path: Path) -> Any:
    """Return what a checkpoint holds; raise an error, of any type, for a file that is none or damaged."""
    check_plain(path)
    data = path.read_bytes()
    head = HEAD.match(data)
    if head is None:
        raise ValueError("it does not begin as a checkpoint of gridcast")
    if (version := int(head[1])) != VERSION:
        raise ValueError(f"its format {version} is not {VERSION}")
    body = memoryview(data)[head.end() :]
    if hashlib.sha256(body).hexdigest() != head[2].decode():
        raise ValueError("it is damaged: its SHA-256 sum is another")
    # weights_only: no code of the file runs
    return torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)


def _misfit(content: Any) -> str | None:
    """Return what is wrong with the outermost structure of a checkpoint, None where nothing is."""
    if not isinstance(content, dict) or set(content) != {"identity", "seed", "state"}:
        return "it is not of identity, seed and state"
    identity, seed = content["identity"], content["seed"]
    if not isinstance(identity, dict) or not all(type(text) is str for pair in identity.items() for text in pair):
        return "its identity is not of texts"
    if type(seed) is not int or seed < 0:
        return "its seed is no number"
    return None if isinstance(content["state"], dict) else f"its state is a {type(content['state']).__name__}"
