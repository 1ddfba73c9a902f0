"""What a user would pick instead of a deep model, for `benchmark.py`: simple forecasters and how they are tuned."""

from __future__ import annotations

import itertools
import warnings
from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import xarray as xr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

import gridcast as gc

HORIZON = 20


class Peer(ABC):
    """Learn from a series, ([sample,] time, y, x), and continue it from any step.

    Parameters
    ----------
    anomalies : bool
        Whether the climatology (`gridcast.Anomaly`) is taken off before and added after.
    """

    n_before = 0  # steps before the origin that a forecast needs

    def __init__(self, anomalies: bool = True) -> None:
        self.anomalies = anomalies

    def fit(self, X: xr.DataArray) -> Self:
        """Learn climatology and weights."""
        if self.anomalies:
            self.anomaly = gc.Anomaly().fit(X)
        x = with_samples(X)
        self.seen = np.isfinite(x).all((0, 1))
        self._learn(x - self._cycle(X))
        return self

    def forecast(self, X: xr.DataArray, horizon: int, stride: int = 1) -> np.ndarray:
        """Return ([sample,] origin, lead, y, x) from every `stride`-th step with the horizon inside `X`."""
        x, cycle = with_samples(X), self._cycle(X)
        origins = np.arange(self.n_before, x.shape[1] - horizon, stride)[:, None]
        past = (x - cycle)[:, origins + np.arange(-self.n_before, 1)]
        made = self._continue(past.reshape(-1, *past.shape[2:]), horizon)
        made = made.reshape(*past.shape[:2], *made.shape[1:]) + cycle[:, origins + np.arange(1, horizon + 1)]
        return made if "sample" in X.dims else made[0]

    def _cycle(self, X: xr.DataArray) -> np.ndarray:
        """Return the climatology at each step, (sample, time, y, x)."""
        zero = xr.zeros_like(X)
        return -with_samples(self.anomaly.transform(zero)) if self.anomalies else with_samples(zero)

    @abstractmethod
    def _learn(self, x: np.ndarray) -> None:
        """Learn from (sample, time, y, x)."""

    @abstractmethod
    def _continue(self, past: np.ndarray, horizon: int) -> np.ndarray:
        """Return what follows (case, n_before + 1, y, x), (case, horizon, y, x)."""

    def _fields(self, vectors: np.ndarray) -> np.ndarray:
        """Return (..., y, x) of the cells that were seen, (..., cell)."""
        fields = np.full((*vectors.shape[:-1], *self.seen.shape), np.nan, np.float32)
        fields[..., self.seen] = vectors
        return fields


class DampedPersistence(Peer):
    """The latest anomaly, times a weight for each cell and lead: a regression."""

    def _learn(self, x: np.ndarray) -> None:
        x = np.nan_to_num(x.astype(float))
        pairs = ((x[:, :-lead], x[:, lead:]) for lead in range(1, HORIZON + 1))
        weights = [(now * later).sum((0, 1)) / np.maximum(np.square(now).sum((0, 1)), 1e-12) for now, later in pairs]
        self.weights = np.clip(weights, 0.0, 1.0)  # (lead, y, x)

    def _continue(self, past: np.ndarray, horizon: int) -> np.ndarray:
        return self.weights[:horizon] * past


class Autoregression(Peer):
    """The anomaly of each cell from its own last three: a ridge regression."""

    n_before = 2

    def _learn(self, x: np.ndarray) -> None:
        x = np.nan_to_num(x.astype(float))
        past = np.stack([x[:, 2:-1], x[:, 1:-2], x[:, :-3]], -1)
        square = np.einsum("styxi,styxj->yxij", past, past)
        ridge = 1e-3 * np.trace(square, axis1=-2, axis2=-1)[..., None, None] / 3 + 1e-12
        product = np.einsum("styxi,styx->yxi", past, x[:, 3:])
        self.weights = np.linalg.solve(square + ridge * np.eye(3), product[..., None])[..., 0]

    def _continue(self, past: np.ndarray, horizon: int) -> np.ndarray:
        lags, out = [past[:, 2], past[:, 1], past[:, 0]], []
        for _ in range(horizon):
            lags = [sum(self.weights[..., i] * lag for i, lag in enumerate(lags)), *lags[:2]]
            out.append(lags[0])
        return np.stack(out, 1)


class LinearInverseModel(Peer):
    """Leading principal components and a ridge regression of the next on the last two: the usual reference.

    It is a vector autoregression of order 2 in the space of 60 components (Penland and Sardeshmukh 1995 use order 1).
    """

    n_before = 1

    def __init__(self, anomalies: bool = False) -> None:
        super().__init__(anomalies)

    def _learn(self, x: np.ndarray) -> None:
        n_samples, n_times = x.shape[:2]
        flat = x[..., self.seen].reshape(n_samples * n_times, -1)
        self.pca = PCA(min(60, *flat.shape), svd_solver="full").fit(flat)
        z = self.pca.transform(flat).reshape(n_samples, n_times, -1)
        past, following = np.concatenate([z[:, 1:-1], z[:, :-2]], -1), z[:, 2:]
        alpha = 1e-3 * z.var() * len(flat) / z.shape[-1]
        self.ridge = Ridge(alpha).fit(past.reshape(-1, past.shape[-1]), following.reshape(-1, z.shape[-1]))

    def _continue(self, past: np.ndarray, horizon: int) -> np.ndarray:
        before, now = (self.pca.transform(past[:, i][..., self.seen]) for i in (0, 1))
        out = []
        for _ in range(horizon):
            now, before = self.ridge.predict(np.hstack([now, before])), now
            out.append(self.pca.inverse_transform(now))
        return self._fields(np.stack(out, 1))


class DMD(Peer):
    """Dynamic mode decomposition of the anomalies (`pydmd`; Schmid 2010).

    Rank and number of delayed fields are those with the smallest error over all leads (a geometric mean) in the last
    tenth of the series, forecast by a decomposition of the rest.
    """

    n_before = 1
    RANKS, DELAYS = (10, 30, 100), (1, 2)

    def fit(self, X: xr.DataArray) -> Self:
        """Choose rank and delays, then learn from the whole series."""
        earlier, later = divide(X, self.n_before + 1)
        horizon = min(HORIZON, later.sizes["time"] - self.n_before - 1)
        truth = following(later, self.n_before, horizon)
        errors = {}
        for choice in itertools.product(self.RANKS, self.DELAYS):
            self.rank, self.n_delays = choice
            squared = np.square(super().fit(earlier).forecast(later, horizon) - truth)
            by_lead = np.nanmean(np.moveaxis(squared, -3, 0).reshape(horizon, -1), 1)
            errors[choice] = np.log(by_lead).mean()
        self.rank, self.n_delays = min(errors, key=errors.__getitem__)
        return super().fit(X)

    def _learn(self, x: np.ndarray) -> None:
        import pydmd  # a dependency of this row alone

        states = self._states(x[..., self.seen])  # (sample, time, state)
        now, following = (part.reshape(-1, states.shape[-1]).T for part in (states[:, :-1], states[:, 1:]))
        with warnings.catch_warnings():  # ill-conditioned snapshots: the rank is the remedy
            warnings.filterwarnings("ignore", message="Input data condition number")
            dmd = pydmd.DMD(svd_rank=min(self.rank, *now.shape)).fit(now, following)
        self.modes, self.eigenvalues = dmd.modes, dmd.eigs
        self.amplitudes = np.linalg.pinv(dmd.modes)  # of a state: what `dmd.predict` computes at every call

    def _continue(self, past: np.ndarray, horizon: int) -> np.ndarray:
        amplitudes = self._states(past[..., self.seen])[:, -1] @ self.amplitudes.T
        n_cells = self.seen.sum()
        paths = [amplitudes * self.eigenvalues**lead @ self.modes[:n_cells].T for lead in range(1, horizon + 1)]
        return self._fields(np.stack(paths, 1).real)

    def _states(self, x: np.ndarray) -> np.ndarray:
        """Join each field, the first part of a state, with those before it, along time."""
        n = x.shape[1] - self.n_delays + 1
        return np.concatenate([x[:, k : k + n] for k in range(self.n_delays)][::-1], -1)


PEERS: dict[str, type[Peer]] = {
    "lim": LinearInverseModel,
    "damped": DampedPersistence,
    "ar3": Autoregression,
    "dmd": DMD,
}


def with_samples(X: xr.DataArray) -> np.ndarray:
    """Return the values of a series, (sample, time, y, x)."""
    return X.values if "sample" in X.dims else X.values[None]


def divide(X: xr.DataArray, n_before: int = 0, share: float = 0.1) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a training part without its end, and that end behind `n_before` steps: the last samples or steps.

    At least twice as many steps as are forecast, where a series is so short that `share` of it are fewer.
    """
    if X.sizes.get("sample", 1) > 9:
        n = X.sizes["sample"] - round(share * X.sizes["sample"])
        return X.isel(sample=slice(n)), X.isel(sample=slice(n, None))
    n_times = X.sizes["time"]
    n = n_times - max(round(share * n_times), min(2 * HORIZON, n_times // 4))
    return X.isel(time=slice(n)), X.isel(time=slice(n - n_before, None))


def following(X: xr.DataArray, first: int, horizon: int, stride: int = 1) -> np.ndarray:
    """Return what follows every `stride`-th step from `first` on, ([sample,] origin, lead, y, x)."""
    origins = np.arange(first, X.sizes["time"] - horizon, stride)
    made = with_samples(X)[:, origins[:, None] + np.arange(1, horizon + 1)]
    return made if "sample" in X.dims else made[0]
