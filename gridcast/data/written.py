"""How the numbers of a time axis were written: the rule that gives them to their last digit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from gridcast.data.calendars import RELATIVE_TOLERANCE, Calendar

_DENOMINATORS = (1, 10, 100, 1000, 10**4, 10**5, 10**6)
_MOST_DECIMALS = 6
_MOST_BEFORE = 100_000  # steps between the start of a series and its first label here
_MOST_COMPARED = 1000  # labels, one by one


def as_written(rule: Calendar, labels: np.ndarray, rounding: float) -> Calendar:
    """Return the rule of equal steps whose numbers are `labels` to the last digit, or most of them.

    Of several the plainest: multiples of a round step first, then such that count from a round start.

    Parameters
    ----------
    rule : Calendar
        Of equal steps, which all labels follow.
    labels : ndarray of float64, shape (n_times,)
    rounding : float
        By which labels may be off.
    """
    best, most = rule, -1
    for way in _ways(rule, labels, rounding):
        if (n := _n_same(way, labels)) == len(labels):
            return way
        if n > most:
            best, most = way, n
    return best


def _ways(rule: Calendar, labels: np.ndarray, rounding: float) -> Iterator[Calendar]:
    n = len(labels) - 1
    first, span = labels[0].item(), (labels[-1] - labels[0]).item()
    off = rounding / n + RELATIVE_TOLERANCE * rule.step / n
    fraction = next(
        (f for d in _DENOMINATORS if abs((f := Fraction(span / n).limit_denominator(d)) - span / n) <= off and f > 0),
        None,
    )
    steps = [rule.step] if fraction is None else [float(fraction), rule.step]
    if fraction is not None:
        yield replace(rule, step=steps[0], denominator=fraction.denominator)
        yield from (replace(rule, step=steps[0], origin=first, decimals=d) for d in range(_MOST_DECIMALS + 1))
    yield from (replace(rule, step=step) for step in steps)
    if fraction is not None:
        yield replace(rule, origin=first, step=steps[0], denominator=fraction.denominator)
        yield from _counted_from_before(rule, labels, steps[0], rounding)
    # numpy.linspace divides, which may round
    steps += [steps[0] + ulps * np.spacing(steps[0]).item() for ulps in (-1, 1, -2, 2)]
    # to divide by a power of two rounds nothing
    apart = sorted({2**k for k in range(n.bit_length())} | {n})
    steps += [step for i in apart if (step := (labels[i].item() - first) / i) > 0]
    yield from (replace(rule, origin=origin, step=step) for origin in (0.0, first) for step in steps)


def _counted_from_before(rule: Calendar, labels: np.ndarray, step: float, rounding: float) -> Iterator[Calendar]:
    """Yield the rules ``start + k * step`` of all labels whose start, before the first of them, is a round number."""
    single = _are_single(labels)
    before = np.arange(_MOST_BEFORE + 1)
    starts = labels[0] - before * step
    multiples = np.rint(starts / step) * step
    rounded = (np.round(starts, decimals) for decimals in range(_MOST_DECIMALS + 1))
    for round_starts in (*rounded, multiples):
        near = np.abs(round_starts - starts) <= rounding
        start, number = round_starts[near], before[near]
        # numpy.arange counts in the difference of its first two values
        for steps in (np.full(start.shape, step), (start + step) - start):
            same = np.flatnonzero(_same(start + number * steps, labels[0], single))
            for i in range(1, min(len(labels), _MOST_COMPARED)):
                if not len(same):
                    break
                same = same[_same(start[same] + (number[same] + i) * steps[same], labels[i], single)]
            if len(same):
                yield replace(rule, origin=start[same[0]].item(), step=steps[same[0]].item())
                return


def _n_same(rule: Calendar, labels: np.ndarray) -> int:
    first = round((labels[0].item() - rule.origin) / rule.step)
    return int(_same(rule.number(first + np.arange(len(labels))), labels, _are_single(labels)).sum())


def _same(made: np.ndarray, wanted: np.ndarray, single: bool) -> np.ndarray:
    return (made.astype(np.float32) if single else made) == wanted


def _are_single(labels: np.ndarray) -> bool:
    return bool((labels.astype(np.float32) == labels).all())
