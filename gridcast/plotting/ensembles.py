"""Whether an ensemble's uncertainty can be trusted, and what it says at one point."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from gridcast.data.units import units_of
from gridcast.metrics._checks import check_reference, check_same_labels
from gridcast.plotting._checks import check_array
from gridcast.plotting._labels import (
    label_lead_axis,
    lead_times,
    time_positions,
    valid_times,
    with_units,
)
from gridcast.plotting._style import COLORS, GREY, legend_above, new_axes, without_box

_BAND_SHADES = (0.18, 0.32, 0.5, 0.65)


def plot_spread_skill(
    forecast: xr.DataArray,
    observed: xr.DataArray,
    *,
    n_bins: int = 10,
    ax: Axes | None = None,
    member_dim: str = "member",
) -> Axes:
    """
    Draw the error of the ensemble mean against the spread of the ensemble, in bins of equal count.

    Spread is ``sqrt((M + 1) / M * variance)`` of M members. A calibrated ensemble lies on the 1:1 line, an
    overconfident one above it. Few members flatten the line, as their spread is itself an estimate.

    Parameters
    ----------
    forecast : DataArray of shape (member, time, y, x), or any other with `member_dim`
        The ensemble, of two members or more.
    observed : DataArray of shape (time, y, x)
        The observations, with the labels of `forecast`. Cells that are missing in either are left out.
    n_bins : int, default=10
        Number of bins, each of as many cells, sorted by their spread.
    ax : Axes, default=None
        Where to draw; None makes a new figure.
    member_dim : str, default="member"
        The dimension of the ensemble members.

    Returns
    -------
    Axes
        Its first line holds a point a bin (spread, RMSE), its second is the 1:1 line.

    Raises
    ------
    ValueError
        If there are fewer than two members or fewer cells than bins, or if labels differ.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_spread_skill
    >>> rng = np.random.default_rng(0)
    >>> ensemble = xr.DataArray(rng.normal(size=(5, 100)), dims=("member", "time"))
    >>> plot_spread_skill(ensemble, ensemble[0], n_bins=4).lines[0].get_xdata().size
    4
    """
    spread, error = _binned_spread_and_error(forecast, observed, n_bins, member_dim)
    ax = new_axes(4.5, 4.5) if ax is None else ax
    ax.plot(spread, error, color=COLORS[0], marker="o", markersize=5, label="forecast")
    limit = 1.05 * max(spread.max(), error.max()) or 1.0
    ax.plot([0.0, limit], [0.0, limit], color=GREY, linestyle="--", zorder=1, label="1:1")
    units = units_of(observed, forecast)
    ax.set(xlim=(0.0, limit), ylim=(0.0, limit), aspect="equal")
    ax.set(xlabel=with_units("ensemble spread", units), ylabel=with_units("RMSE of the mean", units))
    legend_above(ax)
    return ax


def plot_rank_histogram(
    forecast: xr.DataArray, observed: xr.DataArray, *, ax: Axes | None = None, member_dim: str = "member"
) -> Axes:
    r"""
    Draw how often the observation has each rank among the members (Hamill, Mon. Wea. Rev. 129, 2001).

    A calibrated ensemble is flat. A U means too little spread, a dome too much, a slope a bias. An observation
    that equals k members, as where no rain falls, counts as :math:`1 / (k + 1)` in each rank that it could have.

    Parameters
    ----------
    forecast : DataArray of shape (member, time, y, x), or any other with `member_dim`
        The ensemble of M members.
    observed : DataArray of shape (time, y, x)
        The observations, with the labels of `forecast`. Cells that are missing in either are left out.
    ax : Axes, default=None
        Where to draw; None makes a new figure.
    member_dim : str, default="member"
        The dimension of the ensemble members.

    Returns
    -------
    Axes
        Its M + 1 bars are shares of the cells; rank 0 is below all members. The line is calibrated.

    Raises
    ------
    TypeError
        If one of the two is no DataArray.
    ValueError
        If there is no member, no cell that both have, or if labels differ.

    Examples
    --------
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_rank_histogram
    >>> ensemble = xr.DataArray([[1.0, 1.0], [3.0, 3.0]], dims=("member", "time"))
    >>> ax = plot_rank_histogram(ensemble, xr.DataArray([0.0, 2.0], dims="time"))
    >>> [float(bar.get_height()) for bar in ax.patches]
    [0.5, 0.5, 0.0]
    """
    members, truth = _members_and_truth(forecast, observed, member_dim)
    below, equal = (members < truth).sum(axis=0), (members == truth).sum(axis=0)
    share = 1.0 / (equal + 1.0)
    size = len(members) + 2
    steps = np.bincount(below, share, size) - np.bincount(below + equal + 1, share, size)
    frequency = steps.cumsum()[:-1] / truth.size
    ax = new_axes(5.0, 3.6) if ax is None else ax
    ax.bar(np.arange(len(frequency)), frequency, width=0.92, color=COLORS[0])
    ax.axhline(1.0 / len(frequency), color="black", linestyle="--", linewidth=1.2, label="calibrated")
    ax.set(xlabel=f"rank of the observation among {len(members)} members", ylabel="share of cells")
    legend_above(ax)
    return ax


def plot_reliability(
    forecast: xr.DataArray,
    observed: xr.DataArray,
    *,
    threshold: float,
    n_bins: int = 10,
    ax: Axes | None = None,
    member_dim: str = "member",
) -> Axes:
    """
    Draw how often an event happened against how probable it was forecast: a reliability diagram.

    The event is a value of at least `threshold`, as in :func:`gridcast.metrics.reliability`; its forecast probability
    is the share of members that reach it. A reliable forecast lies on the 1:1 line. The inset shows how often each
    probability was forecast.

    Parameters
    ----------
    forecast : DataArray of shape (member, time, y, x), or any other with `member_dim`
        The ensemble.
    observed : DataArray of shape (time, y, x)
        The observations, with the labels of `forecast`. Cells that are missing in either are left out.
    threshold : float
        Of the event, in the units of the data.
    n_bins : int, default=10
        Number of bins of equal width between the probabilities 0 and 1.
    ax : Axes, default=None
        Where to draw; None makes a new figure.
    member_dim : str, default="member"
        The dimension of the ensemble members.

    Returns
    -------
    Axes
        Its first line holds a point a bin that was forecast (mean probability, observed frequency); then come the
        1:1 line and the frequency of the event. Its child axes have the share of cells in each bin.

    Raises
    ------
    TypeError
        If one of the two is no DataArray.
    ValueError
        If there is no member, no cell that both have, if `n_bins` is below 1, or if labels differ.

    Examples
    --------
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_reliability
    >>> ensemble = xr.DataArray([[0.0, 2.0], [2.0, 2.0]], dims=("member", "time"))
    >>> ax = plot_reliability(ensemble, xr.DataArray([0.0, 3.0], dims="time"), threshold=1.0)
    >>> ax.lines[0].get_xydata().tolist()
    [[0.5, 0.0], [1.0, 1.0]]
    """
    if n_bins < 1:
        raise ValueError(f"n_bins={n_bins!r} must be 1 or more")
    members, truth = _members_and_truth(forecast, observed, member_dim)
    n_above, happened = (members >= threshold).sum(axis=0), truth >= threshold
    probability = n_above / len(members)
    bins = np.minimum(n_above * n_bins // len(members), n_bins - 1)  # whole numbers: 0.29 * 100 is below 29
    count = np.bincount(bins, minlength=n_bins)
    used = count > 0
    sums = (np.bincount(bins, weights, n_bins)[used] / count[used] for weights in (probability, happened))
    ax = new_axes(4.8, 4.8) if ax is None else ax
    ax.plot(*sums, color=COLORS[0], marker="o", markersize=5, label="forecast")
    ax.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linestyle="--", zorder=1, label="1:1")
    ax.axhline(happened.mean(), color=GREY, linestyle=":", zorder=1, label="frequency of the event")
    event = f"value ≥ {threshold:g} {units_of(observed, forecast) or ''}".strip()
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set(xlabel=f"forecast probability of {event}", ylabel="observed frequency")
    legend_above(ax)
    _draw_sharpness(ax, count / count.sum())
    return ax


def plot_fan(quantiles: xr.DataArray, observed: xr.DataArray | None = None, *, ax: Axes | None = None) -> Axes:
    """
    Draw the quantiles of a forecast at one point over its lead times, with the observations.

    Parameters
    ----------
    quantiles : DataArray of shape (quantile, time) or (quantile, lead_time)
        As ``model.predict_quantiles(20).sel(lat=50, lon=10, method="nearest")`` returns them; quantiles have
        their labels. The lowest and the highest bound the widest band, and so on; the middle one is a line.
    observed : DataArray of shape (time,) or (lead_time,), default=None
        What was observed there; it may begin before the forecast, so that the chart shows where it starts from.
    ax : Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        A band for each pair of quantiles, widest first; the lines are the middle quantile, if their number is odd,
        and the observations. Dates are below it where the forecast has any, else lead times.

    Raises
    ------
    TypeError
        If one of the two is no DataArray.
    ValueError
        If one of the two has further dimensions, the quantiles are all missing, or their times are of different kinds.

    Examples
    --------
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_fan
    >>> values = xr.DataArray(
    ...     [[1.0, 0.0], [2.0, 2.0], [3.0, 4.0]],
    ...     coords={"quantile": [0.05, 0.5, 0.95], "lead_time": [1, 2]},
    ...     name="t2m",
    ...     attrs={"units": "K"},
    ... )
    >>> ax = plot_fan(values)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['5 % to 95 %', 'median']
    """
    quantiles, observed, dim = _at_a_point(quantiles, observed)
    ax = new_axes(6.5, 3.6) if ax is None else ax
    lines = [quantiles] if observed is None else [quantiles, observed]
    if dim == "time" and "time" in quantiles.coords:
        positions = time_positions(ax, *(data["time"] for data in lines))
    else:
        positions, unit = lead_times(lines, dim)
        label_lead_axis(ax, unit)
    q, values = quantiles["quantile"].values, quantiles.transpose("quantile", dim).values
    for i in range(len(q) // 2):
        shade, label = _BAND_SHADES[min(i, len(_BAND_SHADES) - 1)], f"{100 * q[i]:g} % to {100 * q[-1 - i]:g} %"
        ax.fill_between(
            positions[0], values[i], values[-1 - i], color=COLORS[0], alpha=shade, linewidth=0.0, label=label
        )
    if len(q) % 2:
        label = "median" if np.isclose(q[len(q) // 2], 0.5) else f"{100 * q[len(q) // 2]:g} %"
        ax.plot(positions[0], values[len(q) // 2], color=COLORS[0], marker=_marker(values[0]), label=label)
    if observed is not None:
        style: dict[str, Any] = {"color": "black", "marker": "o", "markersize": 3.0, "linewidth": 1.0}
        ax.plot(positions[1], observed.values, label="observed", **style)
    ax.set_ylabel(with_units(str(quantiles.name or "value"), units_of(*lines)))
    legend_above(ax)
    return ax


def _binned_spread_and_error(
    forecast: xr.DataArray, observed: xr.DataArray, n_bins: int, member_dim: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the root mean variance and the root mean squared error of each bin."""
    check_array("forecast", forecast)
    n_members = forecast.sizes.get(member_dim, 0)
    if n_members < 2:
        raise ValueError(f"a spread needs two members or more, {member_dim!r} has {n_members}")
    members, truth = _members_and_truth(forecast, observed, member_dim)
    if not 1 <= n_bins <= truth.size:
        raise ValueError(f"n_bins must lie between 1 and the {truth.size} cells with data, got {n_bins}")
    variance = members.var(axis=0, ddof=1) * (n_members + 1) / n_members
    pairs = np.stack([variance, (members.mean(axis=0) - truth) ** 2])
    bins = np.array_split(pairs[:, pairs[0].argsort(kind="stable")], n_bins, axis=1)
    spread, rmse = np.sqrt([pair.mean(axis=1) for pair in bins]).T
    return spread, rmse


def _members_and_truth(
    forecast: xr.DataArray, observed: xr.DataArray, member_dim: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the members, (member, cell), and the observation of each cell that all of them and it have."""
    check_array("forecast", forecast)
    check_array("observed", observed)
    if not forecast.sizes.get(member_dim, 0):
        raise ValueError(f"forecast has no member: {member_dim!r} is not in {forecast.dims}, set member_dim")
    check_reference("forecast", forecast, (member_dim, *observed.dims))
    check_reference("observed", observed, [d for d in forecast.dims if d != member_dim], "forecast")
    check_same_labels(observed=observed, forecast=forecast)
    members = forecast.transpose(member_dim, *observed.dims).values.astype(float).reshape(len(forecast[member_dim]), -1)
    truth = observed.values.astype(float).ravel()
    known = np.isfinite(members).all(axis=0) & np.isfinite(truth)
    if not known.any():
        raise ValueError("forecast and observed have no cell in common that is not missing: check their labels")
    return members[:, known], truth[known]


def _draw_sharpness(ax: Axes, share: NDArray[np.float64]) -> None:
    """Draw how often each probability was forecast in the lower right corner."""
    inset = ax.inset_axes((0.62, 0.09, 0.36, 0.24))
    centres = (np.arange(len(share)) + 0.5) / len(share)
    inset.bar(centres, share, width=0.9 / len(share), color=COLORS[0])
    inset.set_title("share of cells", fontsize="x-small")
    inset.set(xticks=[0.0, 1.0], xlim=(0.0, 1.0))
    inset.tick_params(labelsize="x-small")
    without_box(inset)


def _at_a_point(
    quantiles: xr.DataArray, observed: xr.DataArray | None
) -> tuple[xr.DataArray, xr.DataArray | None, str]:
    """Return both in ascending order of quantile, and the dimension of their steps."""
    check_array("quantiles", quantiles)
    given = {"quantiles": quantiles}
    if observed is not None:
        check_array("observed", observed)
        given["observed"] = observed
    given = {name: valid_times(data) for name, data in given.items()}
    dim = "time" if "time" in given["quantiles"].dims else "lead_time"
    for name, data in given.items():
        expected = ("quantile", dim) if name == "quantiles" else (dim,)
        if name == "quantiles" and "quantile" not in data.dims:
            raise ValueError(f"quantiles has dimensions {data.dims} without 'quantile': give predict_quantiles(...)")
        if set(data.dims) != set(expected):
            raise ValueError(
                f"{name} has dimensions {data.dims}, not {expected}: select a point, a sample and a channel first, for "
                f"example "
                f'{name}.sel(lat=50, lon=10, method="nearest")'
            )
    if given["quantiles"].isnull().all():
        raise ValueError(
            "quantiles are all missing: the point is never observed, as land in a sea series; take another"
        )
    return given["quantiles"].sortby("quantile").compute(), given.get("observed"), dim


def _marker(values: NDArray[np.float64]) -> str | None:
    """Return a marker where one step alone would leave a line invisible."""
    return "o" if len(values) == 1 else None
