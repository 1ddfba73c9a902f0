"""Which steps of a series a smoother works on at once: stretches around what is not known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LONGEST = 32  # steps that are kept of a stretch
MOST = 240  # with a gap of whole fields, whose other end the smoother is to see
AFTER = 12  # steps behind a stretch, which tell of it


class Stretch(NamedTuple):
    """Steps of a series.

    Parameters
    ----------
    start, first, last, stop : int
        Steps from `first` to before `last` are estimated; those from `start` to before `first` say how they begin,
        those from `last` to before `stop` what came of them.
    """

    start: int
    first: int
    last: int
    stop: int


def stretches(unknown: np.ndarray, blank: np.ndarray, n_before: int) -> list[Stretch]:
    """Return the stretches that hold all steps with something unknown, in order, without overlap.

    Parameters
    ----------
    unknown, blank : ndarray of bool, (time,)
        Steps of which something is not known, and of which nothing is.
    n_before : int
        Steps that say how a stretch begins.
    """
    found, n_times, step = [], len(unknown), 0
    places = np.flatnonzero(unknown)
    while (behind := places[np.searchsorted(places, step) :]).size:
        first = int(behind[0])
        last = first + 1
        # on as long as the next unknown step is nearer than what a new stretch would look at
        while last < n_times and (last - first < LONGEST or (blank[last - 1] and last - first < MOST)):
            if not unknown[last : last + n_before].any():
                break
            last += 1
        found.append(Stretch(max(0, first - n_before), first, last, min(n_times, last + AFTER)))
        step = last
    return found
