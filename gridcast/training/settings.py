"""How a forecaster is trained: what belongs to the optimiser, the held-out part, checkpoints and callbacks."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from gridcast.data.parameters import Parameters, anything, choice, flag, parameter, parameters, real, whole
from gridcast.data.statistics import BUFFER_BYTES
from gridcast.persistence.encoding import Form
from gridcast.training.callbacks import check_callbacks


def checkpoint_interval(every: Any) -> tuple[int | None, float | None]:
    """Return the steps or the seconds between two checkpoints; raise a ValueError for what is neither."""
    try:
        if isinstance(every, numbers.Integral) and not isinstance(every, bool) and int(every) >= 1:
            return int(every), None
        if isinstance(every, str) and (seconds := pd.Timedelta(every).total_seconds()) > 0:
            return None, seconds
    except ValueError:
        pass
    raise ValueError(f'checkpoint_every={every!r} must be a number of steps or a duration such as "10min"')


def check_warm_start(name: str, value: Any) -> None:
    """Check for True, False or a share of the steps."""
    if not isinstance(value, bool | np.bool_):
        real(lambda v: 0 < v <= 1, "be True, False, or a share of the steps above 0 and at most 1")(name, value)


@parameters
class Training(Parameters):
    """Settings of a training that few users change; a parameter of every neural forecaster.

    Searched as ``training__patience``.

    Examples
    --------
    >>> import gridcast as gc
    >>> gc.CNMMForecaster(training=gc.Training(patience=3, checkpoint_dir="training"))
    CNMMForecaster(training=Training(checkpoint_dir='training', patience=3))
    """

    # Of one machine or one run: a loaded forecaster has the defaults.
    _not_saved: ClassVar[tuple[str, ...]] = ("callbacks", "checkpoint_dir")

    schedule: str = parameter(
        choice("one_cycle", "constant"),
        '{"one_cycle", "constant"}',
        "Of the learning rate: linear warm-up and cosine decay, or none.",
        default="one_cycle",
    )
    gradient_clip: float | None = parameter(
        real(lambda v: v > 0, "be positive", none=True), "float or None", "Largest norm of the gradient.", default=1.0
    )
    stride: int = parameter(whole(), "int", "Steps between the starts of two training windows.", default=1)
    observation_noise: float = parameter(
        real(lambda v: v >= 0, "not be negative"),
        "float",
        "Largest standard deviation of the Gaussian noise that is added to a quarter of the training windows, in units "
        "of the standard deviation of the change from one step to the next; the smallest is a 40th of it. Forecasts "
        "from observations that are noisier than the training series need it. 0 adds none.",
        default=1.75,
    )
    validation_fraction: float = parameter(
        real(lambda v: 0 <= v < 1, "be at least 0 and below 1"),
        "float",
        "Share of the training series, at its end (of many independent samples, the last ones), whose forecast errors "
        "decide which epoch's weights are kept, and what the forecast of each lead is made of; 0 keeps those of the "
        "smallest training loss.",
        default=0.1,
    )
    patience: int | None = parameter(
        whole(none=True),
        "int or None",
        "Epochs without a smaller validation error after which training stops.",
        default=None,
    )
    max_minutes: float | None = parameter(
        real(lambda v: v > 0, "be positive", none=True),
        "float or None",
        "Time that a fit takes at most, beside `max_epochs` and `max_steps`: the schedule of the learning rate fits "
        "into whichever ends first, what the start before and the weighing of each lead after the training take "
        "counted in. The weights then depend on how fast the machine is; None makes them depend on `random_state` "
        'and, with ``precision="auto"``, on whether the machine trains in 16 bits.',
        default=None,
    )
    warm_start: bool | float = parameter(
        check_warm_start,
        "bool or float",
        "Whether `fit` of a fitted forecaster, also of one from `gridcast.load`, goes on from its weights with the "
        "series that it is given, instead of from scratch: the transformer, the climatology and the linear model stay "
        "as they are, the networks train on at a quarter of the learning rate, and the last part of the new series, "
        "which is held out, decides weights and spread anew. True takes a tenth of the steps that `max_epochs` and "
        "`max_steps` allow; a number is the share to take. The grid, the time step and what decides about the weights "
        "must be those of the earlier fit.",
        default=False,
    )
    checkpoint_dir: Any = parameter(
        anything,
        "str, Path or None",
        "Folder in which the training is kept. A `fit` with the same data and parameters goes on from there and ends "
        "with the weights of an uninterrupted training; other data or parameters are a ValueError, and so is a folder "
        "where another fit is under way. To know the data they are read once more. One folder for each training: leave "
        "it out in a search.",
        default=None,
    )
    checkpoint_every: int | str = parameter(
        lambda name, value: checkpoint_interval(value),
        "int or str",
        "Steps, or a duration, between two checkpoints.",
        default="5min",
    )
    callbacks: Any = parameter(
        lambda name, value: check_callbacks(value),
        "list of gridcast.callbacks.Callback or None",
        "Called before, during and after the training.",
        default=None,
    )
    buffer_bytes: int = parameter(
        whole(),
        "int",
        "Memory for what training reads ahead of a dask-backed series, whatever its size. At least several of its "
        "chunks.",
        default=BUFFER_BYTES,
    )
    precision: str = parameter(
        anything,
        "str",
        '``"32"`` or ``"bf16-mixed"``, as in Lightning Fabric; ``"auto"`` trains in 16 bits where processor or GPU '
        "multiply these much faster. Forecasts are always made in 32.",
        default="auto",
    )
    compile: bool = parameter(
        flag,
        "bool",
        "Train through ``torch.compile``, where that works; the first steps then take longer.",
        default=False,
    )


def _take_apart(training: Any) -> tuple[dict[str, Any]]:
    given = training.get_params(deep=False)
    return ({name: value for name, value in given.items() if name not in Training._not_saved},)


def _put_together(given: Any) -> Training:
    if not isinstance(given, dict):
        raise ValueError(f"Training is made of {type(given).__name__}, expected names and values")
    training = Training(**given)
    training.check_parameters()
    return training


TRAINING_FORM = Form(Training, ("parameters",), _take_apart, _put_together)
