"""How a training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from gridcast.plotting._style import COLORS, MARKERS, legend_above, without_box

# columns of a history -> how a figure calls them
_NAMES = {"elbo": "ELBO", "nll": "NLL", "kl": "KL", "mse": "training (MSE)", "validation_error": "validation"}
_ERROR = "MSE of scaled data"


class _Panel(NamedTuple):
    label: str
    keys: tuple[str, ...]
    spans_decades: bool = False


_ELBO = _Panel("ELBO [nats]", ("elbo",))
_LOSS = _Panel("loss [nats]", ("loss", "nll", "kl", "forecast"))
_BEHIND = (
    _Panel(_ERROR, ("validation_error", "mse"), spans_decades=True),
    _Panel("gradient norm", ("gradient_norm",), spans_decades=True),
    _Panel("learning rate", ("learning_rate",)),
    _Panel("weight of the KL", ("annealing",)),
)
_NOT_DRAWN = ("epoch", "seconds")


def plot_history(history: Sequence[Mapping[str, float]], *, ax: Axes | None = None) -> NDArray[Any]:
    """
    Draw what a training recorded at each epoch.

    Parameters
    ----------
    history : sequence of mappings
        One record an epoch, as a fitted forecaster's ``history_``: ``elbo`` (nats per observed value) or
        ``loss``; its terms ``nll``, ``kl`` and others, ``validation_error``, ``gradient_norm``,
        ``learning_rate`` and ``annealing`` where they were recorded; ``epoch``, which counts from 1 by default;
        and ``seconds``, whose sum is in the title.
    ax : Axes, default=None
        Where to draw the objective and, on a second scale, the validation error alone. None makes a new figure
        with a panel for each thing that was recorded.

    Returns
    -------
    ndarray of Axes of shape (n_panels,)
        ELBO, loss with its terms, errors, gradient norm, learning rate and weight of the KL divergence (where it
        changes), as far as they were recorded; with `ax`, the axes of the objective and of the validation error, if
        there was any. The epoch of the smallest validation error, whose weights a forecaster keeps, has a ring.

    Raises
    ------
    ValueError
        If `history` is empty or has neither ``elbo`` nor ``loss``.

    Examples
    --------
    >>> from gridcast.plotting import plot_history
    >>> history = [{"epoch": 1, "elbo": -2.0, "validation_error": 0.3}, {"epoch": 2, "elbo": -1.0}]
    >>> [ax.get_ylabel() for ax in plot_history(history)]
    ['ELBO [nats]', 'MSE of scaled data']
    """
    objective = next((key for key in ("elbo", "loss") if any(key in record for record in history)), None)
    if objective is None:
        raise ValueError(f"history must have 'elbo' or 'loss' in its {len(history)} records: fit first")
    epochs = [record.get("epoch", number) for number, record in enumerate(history, start=1)]
    values = _values(history)
    if ax is not None:
        axes = _draw_on_two_scales(ax, objective, epochs, values)
    else:
        panels = _panels(values)
        axes = _new_axes(len(panels))
        for side, panel in zip(axes, panels, strict=True):
            _draw_panel(side, panel, epochs, values)
        axes[0].figure.suptitle(_title(history), fontsize="medium")
    for side in axes:
        side.xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def _values(history: Sequence[Mapping[str, float]]) -> dict[str, NDArray[np.float64]]:
    """Return each recorded quantity over the epochs, NaN where it was not recorded."""
    keys = dict.fromkeys(key for record in history for key, value in record.items() if value is not None)
    table = {key: [np.nan if r.get(key) is None else r[key] for r in history] for key in keys if key not in _NOT_DRAWN}
    return {key: np.array(column, dtype=float) for key, column in table.items()}


def _panels(values: Mapping[str, NDArray[np.float64]]) -> list[_Panel]:
    """Return the panels that have something to show; terms that have no other place are drawn with the loss."""
    placed = {key for panel in (_ELBO, _LOSS, *_BEHIND) for key in panel.keys}
    loss = _LOSS._replace(keys=_LOSS.keys + tuple(key for key in values if key not in placed))
    found = [panel._replace(keys=tuple(k for k in panel.keys if k in values)) for panel in (_ELBO, loss, *_BEHIND)]
    said = {"annealing": len(set(values.get("annealing", ()))) > 1}
    return [panel for panel in found if panel.keys and said.get(panel.keys[0], True)]


def _new_axes(n_panels: int) -> NDArray[Any]:
    columns = 1 if n_panels == 1 else 2
    rows = -(-n_panels // columns)
    figure = plt.figure(figsize=(4.4 * columns + 0.4, 2.3 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for ax in axes[n_panels:]:
        ax.remove()
    for ax in axes[:n_panels]:
        without_box(ax)
    for ax in axes[max(n_panels - columns, 0) : n_panels]:
        ax.set_xlabel("epoch")
        ax.tick_params(labelbottom=True)
    return axes[:n_panels]


def _draw_panel(ax: Axes, panel: _Panel, epochs: Sequence[float], values: Mapping[str, NDArray[np.float64]]) -> None:
    for key, color, marker in zip(panel.keys, COLORS, MARKERS, strict=False):
        label = _NAMES.get(key, key.replace("_", " "))
        ax.plot(epochs, values[key], color=color, marker=marker, markersize=3.5, label=label)
    if "validation_error" in panel.keys:
        _ring(ax, epochs, values["validation_error"], COLORS[0])
    ax.set_ylabel(panel.label)
    shown = np.concatenate([values[key] for key in panel.keys])
    low, high = np.nanmin(shown, initial=np.inf), np.nanmax(shown, initial=-np.inf)
    if panel.spans_decades and 0.0 < 10.0 * low < high:
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.ticklabel_format(axis="y", style="plain", useOffset=False)
    if len(panel.keys) > 1 or "validation_error" in panel.keys:
        legend_above(ax)


def _draw_on_two_scales(
    ax: Axes, objective: str, epochs: Sequence[float], values: Mapping[str, NDArray[np.float64]]
) -> NDArray[Any]:
    lines = {objective: ("ELBO [nats]" if objective == "elbo" else "loss [nats]", ax)}
    if "validation_error" in values:
        lines["validation_error"] = (f"validation error ({_ERROR})", ax.twinx())
    for (key, (label, side)), color in zip(lines.items(), COLORS, strict=False):
        side.plot(epochs, values[key], color=color, marker="o", markersize=3.5)
        side.set_ylabel(label, color=color)
        side.tick_params(axis="y", colors=color)
        side.ticklabel_format(axis="y", style="plain", useOffset=False)
        side.spines["top"].set_visible(False)
    if "validation_error" in values:
        _ring(lines["validation_error"][1], epochs, values["validation_error"], COLORS[1])
    ax.set_xlabel("epoch")
    return np.array([side for _, side in lines.values()])


def _ring(ax: Axes, epochs: Sequence[float], error: NDArray[np.float64], color: str) -> None:
    """Mark the smallest error."""
    if np.isfinite(error).any():
        best = int(np.nanargmin(np.where(np.isfinite(error), error, np.nan)))
        label = f"smallest, epoch {epochs[best]:g}"
        ring: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "linestyle": "none"}
        ax.plot(epochs[best], error[best], color=color, label=label, **ring)


def _title(history: Sequence[Mapping[str, float]]) -> str:
    """Return how many epochs there were and how long they took."""
    seconds = sum(record.get("seconds") or 0.0 for record in history)
    epochs = f"{len(history)} epoch{'s' if len(history) > 1 else ''}"
    if not seconds:
        return epochs
    size, unit = (3600.0, "h") if seconds >= 3600.0 else (60.0, "min") if seconds >= 60.0 else (1.0, "s")
    return f"{epochs} in {seconds / size:.3g} {unit}"
