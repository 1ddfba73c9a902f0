"""What may watch a training: callbacks, two that log, and who calls them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from gridcast.persistence.atomic import replacing
from gridcast.training.history import History

__all__ = ["CSVLogger", "Callback", "TensorBoardLogger"]

HOOKS = ("on_fit_begin", "on_epoch_end", "on_fit_end")  # in the order in which they are called


class Callback:
    """Base of callbacks, which `fit` calls; each method does nothing unless it is defined.

    Pass instances as ``training=Training(callbacks=[...])``. `est` is a forecaster with all that is learned so far,
    `history_` included, so that ``est.predict(5)`` and ``est.score(X)`` work inside; it shares its weights with the
    training.

    Examples
    --------
    >>> import gridcast as gc
    >>> class StopAtError(gc.callbacks.Callback):
    ...     def on_epoch_end(self, est, record):
    ...         return record["validation_error"] < 1e-4
    >>> forecaster = gc.CNMMForecaster(training=gc.Training(callbacks=[StopAtError()]))
    """

    def on_fit_begin(self, est: Any) -> None:
        """Before the first step; `est` has the weights it starts from."""

    def on_epoch_end(self, est: Any, record: dict[str, float]) -> bool | None:
        """After an epoch, with its record in ``est.history_``; the training ends where this returns True."""

    def on_fit_end(self, est: Any) -> None:
        """After the last epoch and all decisions; `est` is what `fit` will return, with the best weights."""


class CSVLogger(Callback):
    """Write ``history_`` to a CSV file after every epoch: one row an epoch, one column a record.

    Parameters
    ----------
    path : str or Path
        Of the file, which is replaced.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def on_epoch_end(self, est: Any, record: dict[str, float]) -> None:
        """Write the records so far."""
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            pd.DataFrame(est.history_).to_csv(file, index=False)


class TensorBoardLogger(Callback):
    """Write the records as TensorBoard scalars, under ``training/``, with the epoch as the step.

    Parameters
    ----------
    log_dir : str or Path
        Folder of the event files; ``tensorboard --logdir`` shows it.

    Raises
    ------
    ImportError
        At the first epoch, if tensorboard is not installed.
    """

    def __init__(self, log_dir: str | Path) -> None:
        self.log_dir = log_dir

    def on_epoch_end(self, est: Any, record: dict[str, float]) -> None:
        """Write one record."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError("TensorBoardLogger needs tensorboard: pip install tensorboard") from error
        with SummaryWriter(str(self.log_dir)) as writer:
            for name, value in record.items():
                if name != "epoch":
                    writer.add_scalar(f"training/{name}", value, int(record["epoch"]))


class Watch:
    """Calls the callbacks of a training.

    Parameters
    ----------
    callbacks : list or None
    est : forecaster
        A copy with all that is learned so far; the module in it is the one that trains.
    """

    def __init__(self, callbacks: Any, est: Any) -> None:
        self.callbacks, self.est = check_callbacks(callbacks), est
        _call(self.callbacks, "on_fit_begin", est)

    def on_epoch_end(self, history: list[dict[str, float]]) -> bool:
        """Tell of an epoch; return whether the training shall end."""
        self.est.history_ = History(history)
        return _call(self.callbacks, "on_epoch_end", self.est, history[-1])

    def on_fit_end(self, learned: dict[str, Any]) -> None:
        """Tell of the end, with the best weights in the module and all that is learned."""
        vars(self.est).update(learned)
        _call(self.callbacks, "on_fit_end", self.est)


def check_callbacks(callbacks: Any) -> list[Any]:
    """Return the callbacks as a list; raise a TypeError for what is none."""
    if callbacks is None:
        return []
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, str):
        raise TypeError(f"callbacks={callbacks!r} must be a list of gridcast.callbacks.Callback")
    found = list(callbacks)
    for callback in found:
        if isinstance(callback, type) or not any(hasattr(callback, hook) for hook in HOOKS):
            raise TypeError(f"callbacks holds {callback!r}: give instances that have one of the methods {HOOKS}")
    return found


def _call(callbacks: list[Any], hook: str, *arguments: Any) -> bool:
    """Call a method of every callback that has it; return whether one returned True."""
    return any([bool(getattr(c, hook)(*arguments)) for c in callbacks if hasattr(c, hook)])
