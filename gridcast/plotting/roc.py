"""Whether the probabilities of an event tell when it comes."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes

from gridcast.plotting._style import GREY, legend_above, line_styles, new_axes

_RATES = ("false_alarm_rate", "hit_rate")


def plot_roc(curves: Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """
    Draw hit rate against false-alarm rate of an event, one curve a model: the relative operating characteristic.

    A forecast that tells cases apart bends to the upper left corner, one that does not lies on the diagonal. A point
    is a probability from which on to warn, from 1 in the lower left to 0 in the upper right.

    Parameters
    ----------
    curves : mapping of str to Dataset over ``probability_threshold``
        Each model's curve as :func:`gridcast.metrics.roc` returns it, averaged over all dimensions.
    ax : Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The curves in the order of `curves`, whose area is in the legend, then the diagonal.

    Raises
    ------
    TypeError
        If a curve is no Dataset.
    ValueError
        If there is none, or one lacks a rate or has further dimensions.

    Examples
    --------
    >>> import xarray as xr
    >>> from gridcast.metrics import roc
    >>> from gridcast.plotting import plot_roc
    >>> ensemble = xr.DataArray([[0.0, 0.0, 5.0, 5.0], [0.0, 5.0, 0.0, 5.0]], dims=("member", "time"))
    >>> ax = plot_roc({"CNMM": roc(ensemble, xr.DataArray([0.0, 4.0, 0.0, 4.0], dims="time"), 1.0)})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['CNMM, area 0.88', 'no skill']
    """
    if not curves:
        raise ValueError('curves is empty: give one model or more, {"CNMM": gridcast.metrics.roc(...)}')
    for name, curve in curves.items():
        if not isinstance(curve, xr.Dataset):
            raise TypeError(
                f"curves[{name!r}] must be a Dataset, not {type(curve).__name__}: give gridcast.metrics.roc(...)"
            )
        lacking = [part for part in (*_RATES, "roc_area") if part not in curve]
        if lacking or any(curve[rate].dims != ("probability_threshold",) for rate in _RATES):
            found = f"lacks {lacking}" if lacking else f"has the dimensions {tuple(curve.sizes)}"
            raise ValueError(
                f"curves[{name!r}] {found}: give gridcast.metrics.roc(...) averaged over all dimensions, dim=None"
            )
    ax = new_axes(4.8, 4.8) if ax is None else ax
    for name, style in line_styles(curves).items():
        x, y = (curves[name][rate].values for rate in _RATES)
        ax.plot(x, y, label=f"{name}, area {curves[name]['roc_area'].item():.2f}", **style)
    ax.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linestyle=":", zorder=1, label="no skill")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="false-alarm rate", ylabel="hit rate")
    legend_above(ax, most=2)
    return ax
