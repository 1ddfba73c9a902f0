"""Whether intervals hold as many observations as they promise."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes

from gridcast.plotting._style import legend_above
from gridcast.plotting.scores import lines_by_lead

Coverage = xr.DataArray | tuple[xr.DataArray, ...]


def plot_coverage_by_lead(coverages: Mapping[str, Coverage], *, level: float = 0.9, ax: Axes | None = None) -> Axes:
    """
    Draw the share of observations inside an interval against lead time, one line a model.

    A calibrated forecast lies on the line of `level`, an overconfident one below it.

    Parameters
    ----------
    coverages : mapping of str to DataArray of shape (lead_time,)
        Each model's coverage as ``gridcast.metrics.coverage(backtest, observed, level, dim=("init_time", "lat",
        "lon"))`` returns it; ``(coverage, lower, upper)`` has a band of confidence, as in
        :func:`gridcast.plotting.plot_error_by_lead`.
    level : float, default=0.9
        Probability of the interval that the coverages are of, between 0 and 1.
    ax : Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The lines in the order of `coverages`, then that of `level`, from 0 to 1.

    Raises
    ------
    TypeError
        If a coverage or a bound is no DataArray.
    ValueError
        If `level` is not between 0 and 1, if `coverages` is empty, if one of them has another dimension than
        ``lead_time``, or if bounds have other lead times than their coverage.

    Examples
    --------
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_coverage_by_lead
    >>> share = xr.DataArray([0.9, 0.8], coords={"lead_time": [1, 2]}, name="coverage", attrs={"units": "1"})
    >>> plot_coverage_by_lead({"CNMM": share}).get_ylabel()
    'coverage of the 90 % interval'
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level!r} must lie between 0 and 1, both excluded: 0.9 is an interval of 90 %")
    ax = lines_by_lead("coverages", coverages, "coverage", ax)
    ax.axhline(level, color="black", linestyle="--", linewidth=1.2, zorder=1, label="calibrated")
    ax.set(ylim=(0.0, 1.0), ylabel=f"coverage of the {100 * level:g} % interval")
    legend_above(ax)
    return ax
