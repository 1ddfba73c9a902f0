"""The Kalman limit of the heat experiment: what an ideal linear filter forecasts that knows the equation.

The interior of the plate is a sum of products of sines, in which the three steps between two frames are a
multiplication, ``a ** 3`` with ``a`` the mean of two cosines. So the filter is a scalar one for each mode. It ignores
that states and observations are clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dstn, idstn
from scipy.stats import norm

STEPS = 3  # of the simulation between two frames
PROCESS_SD = 3.0  # K, at each step of the simulation


@dataclass(frozen=True)
class Forecast:
    """Mean and standard deviation in K; ``sd`` is that of the observation, equal in all windows.

    Parameters
    ----------
    mean : ndarray, (window, time, y, x)
    sd : ndarray, (time, y, x)
    """

    mean: np.ndarray
    sd: np.ndarray

    def crps(self, observed: np.ndarray) -> np.ndarray:
        """Return the continuous ranked probability score of the Gaussian forecast, K, one value per time."""
        sd = np.maximum(self.sd, 1e-9)
        u = (observed - self.mean) / sd
        score = sd * (u * (2 * norm.cdf(u) - 1) + 2 * norm.pdf(u) - 1 / np.sqrt(np.pi))
        return score.mean((0, 2, 3))


class KalmanOracle:
    """Steady Kalman filter of the heat equation.

    Parameters
    ----------
    emission_sd : float
        Standard deviation of the observation noise in the data, K.
    filter_sd : float, optional
        The one that the filter believes in; the true one by default.
    shape : (int, int)
        Cells of the plate, border included.
    """

    def __init__(self, emission_sd: float, filter_sd: float | None = None, shape: tuple[int, int] = (100, 100)) -> None:
        self.emission_variance = emission_sd**2
        rows, columns = (np.cos(np.pi * np.arange(1, n - 1) / (n - 1)) for n in shape)
        a = (rows[:, None] + columns) / 2
        self.transition = a**STEPS
        self.process_variance = PROCESS_SD**2 * sum(a ** (2 * k) for k in range(STEPS))
        self.filter_variance = self.emission_variance if filter_sd is None else filter_sd**2

    def one_step(self, x: np.ndarray, context: int = 10) -> Forecast:
        """Forecast each frame of `x` (window, time, y, x) from the `context` frames before it."""
        n_targets = x.shape[1] - context
        spectrum = self._forward(x)
        means = [self._filter(spectrum[:, t : t + context])[0] * self.transition for t in range(n_targets)]
        variance = self._filter(spectrum[:, :context])[1]
        sd = self._sd(self._ahead(variance))
        return Forecast(self._backward(np.stack(means, 1)), np.repeat(sd[None], n_targets, 0))

    def multi_step(self, x: np.ndarray, horizon: int) -> Forecast:
        """Forecast `horizon` frames after the frames `x` (window, context, y, x)."""
        mean, variance = self._filter(self._forward(x))
        means, sds = [], []
        for _ in range(horizon):
            mean, variance = mean * self.transition, self._ahead(variance)
            means.append(mean)
            sds.append(self._sd(variance))
        return Forecast(self._backward(np.stack(means, 1)), np.stack(sds))

    def _filter(self, spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the modes after the frames of `spectrum`, (window, time, mode, mode)."""
        mean, variance = spectrum[:, 0], np.full(spectrum.shape[2:], self.filter_variance)
        for t in range(1, spectrum.shape[1]):
            mean, variance = mean * self.transition, self._ahead(variance)
            gain = variance / (variance + self.filter_variance)
            mean, variance = mean + gain * (spectrum[:, t] - mean), (1 - gain) * variance
        return mean, variance

    def _ahead(self, variance: np.ndarray) -> np.ndarray:
        return self.transition**2 * variance + self.process_variance

    def _sd(self, variance: np.ndarray) -> np.ndarray:
        """Return the standard deviation of an observed cell, zero on the border."""
        n_rows, n_columns = variance.shape

        def squares(n: int) -> np.ndarray:
            i = np.arange(1, n + 1)
            return 2 / (n + 1) * np.sin(np.pi * np.outer(i, i) / (n + 1)) ** 2

        cells = squares(n_rows) @ variance @ squares(n_columns) + self.emission_variance
        return np.pad(np.sqrt(cells), 1)

    @staticmethod
    def _forward(x: np.ndarray) -> np.ndarray:
        return dstn(x[..., 1:-1, 1:-1].astype(np.float32), type=1, norm="ortho", axes=(-2, -1))

    @staticmethod
    def _backward(spectrum: np.ndarray) -> np.ndarray:
        cells = idstn(spectrum.astype(np.float32), type=1, norm="ortho", axes=(-2, -1))
        return np.pad(cells, [(0, 0)] * (cells.ndim - 2) + [(1, 1), (1, 1)])
