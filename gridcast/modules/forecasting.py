"""What every module that forecasts from contexts has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn

from gridcast.modules.censored import Bounds


class Contexts(NamedTuple):
    """What forecasts start from.

    Parameters
    ----------
    x, mask : Tensor, (batch, context, channel, y, x)
        Whole grids, as in a loss.
    clock : Tensor, (batch, n_clock), or None
        Time features of the first step of the context.
    bounds : Bounds or None
        Natural bounds of each step that is forecast.
    """

    x: Tensor
    mask: Tensor
    clock: Tensor | None = None
    bounds: Bounds | None = None


class ForecastModule(nn.Module, ABC):
    """Base of the modules that forecast from contexts."""

    noise_apart = False

    @contextmanager
    def with_noise_apart(self) -> Iterator[None]:
        """Leave the noise of its own step out of each member, where only its scale is asked for.

        The scale tells more of a variance than the noise of a few members does.
        """
        self.noise_apart = True
        try:
            yield
        finally:
            self.noise_apart = False

    @abstractmethod
    def forecasts(self, contexts: Contexts, horizon: int, sizes: Iterable[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what `forecast` returns for each number of members in `sizes`; contexts are read once for all."""

    @abstractmethod
    def predictive(self, contexts: Contexts) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the next field, (batch, channel, y, x), as if there were no bounds."""

    def forecast(
        self,
        x: Tensor,
        mask: Tensor,
        horizon: int,
        n_samples: int = 0,
        clock: Tensor | None = None,
        bounds: Bounds | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Forecast the fields after a context.

        Parameters
        ----------
        x, mask, clock, bounds
            See `Contexts`.
        horizon : int
            Steps to forecast.
        n_samples : int
            Number of members drawn for each context. 0 carries means on, which gives the predictive mean to first order
            in the noise.

        Returns
        -------
        loc, scale : Tensor, (max(n_samples, 1), batch, horizon, channel, y, x)
            Mean and scale of the observation of each member.
        """
        (found,) = self.forecasts(Contexts(x, mask, clock, bounds), horizon, [n_samples])
        return found
