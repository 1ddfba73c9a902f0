"""The usual ways to do what gridcast does, against which it is measured."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pyro
import pyro.distributions as dist
import torch
import xarray as xr
from pyro import poutine
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gridcast.modules.markov import MarkovModule


class ConvLSTMCell(nn.Module):
    """One convolution of input and state a step, as public implementations have it."""

    def __init__(self, n_in: int, n_hidden: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in + n_hidden, 4 * n_hidden, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, cell = state
        i, f, o, g = torch.split(self.conv(torch.cat([x, hidden], dim=1)), hidden.shape[1], dim=1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell


class UsualCNMM(nn.Module):
    """The same networks as a `MarkovModule` of the paper, in a Pyro model with one `pyro.sample` per time step."""

    def __init__(self, module: MarkovModule) -> None:
        super().__init__()
        parts: Any = copy.deepcopy(module)
        self.encoder, self.combiner = parts.encoder, parts.combiner
        self.transition, self.emitter = parts.transition, parts.emitter
        self.start = nn.Parameter(parts.start.detach().clone())
        n_in, n_hidden = 64, parts.rnn.hidden_init.shape[0]
        self.cell = ConvLSTMCell(n_in, n_hidden)
        self.n_hidden, self.multiple = n_hidden, parts.frames.multiple

    def first(self, x: Tensor) -> Tensor:
        """Return z_0 of windows: a field, or one value for each channel."""
        return self.start.expand(len(x), -1, *(size // self.multiple for size in x.shape[-2:]))

    def model(self, x: Tensor, annealing: float) -> None:
        """Define p(x, z)."""
        pyro.module("cnmm", self)
        z = self.first(x)
        with pyro.plate("window", len(x)):
            for t in range(x.shape[1]):
                loc, scale = self.transition(z)
                with poutine.scale(scale=annealing):
                    z = pyro.sample(f"z_{t}", dist.Normal(loc, scale).to_event(3))
                loc, scale = self.emitter(z)
                pyro.sample(f"x_{t}", dist.Normal(loc, scale).to_event(3), obs=x[:, t])

    def guide(self, x: Tensor, annealing: float) -> None:
        """Define q(z | x): a backward ConvLSTM, then the combiner forward."""
        pyro.module("cnmm", self)
        features = [self.encoder(x[:, t]) for t in range(x.shape[1])]
        zeros = features[0].new_zeros(len(x), self.n_hidden, *features[0].shape[2:])
        state, hidden = (zeros, zeros), []
        for feature in reversed(features):
            state = self.cell(feature, state)
            hidden.append(state[0])
        hidden.reverse()
        z = self.first(x)
        with pyro.plate("window", len(x)):
            for t, h in enumerate(hidden):
                loc, scale = self.combiner(z, h, None, None)
                with poutine.scale(scale=annealing):
                    z = pyro.sample(f"z_{t}", dist.Normal(loc, scale).to_event(3))


class Windows(Dataset):
    """xbatcher's windows as a torch dataset."""

    def __init__(self, series: xr.DataArray, window: int) -> None:
        import xbatcher  # here: the GPU run does without it

        self.generator = xbatcher.BatchGenerator(
            series, {"time": window, "lat": series.sizes["lat"], "lon": series.sizes["lon"]}, {"time": window - 1}
        )

    def __len__(self) -> int:
        return len(self.generator)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.generator[index].values)


def xbatcher_windows(series: xr.DataArray, window: int, batch_size: int) -> Iterator[Tensor]:
    """Yield shuffled batches of windows."""
    yield from DataLoader(Windows(series, window), batch_size=batch_size, shuffle=True)
