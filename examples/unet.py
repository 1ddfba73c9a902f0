"""The plain residual U-Net that a user would write instead, for `benchmark.py`: fields in, the next change out."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from peers import Peer
from torch import nn

N_FIELDS, WIDTHS, BATCH, RATE = 6, (32, 64, 128), 16, 2e-3
EVALUATED = 64  # histories forecast at once


class Block(nn.Module):
    """Two convolutions with a shortcut (He et al. 2016)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(n_in, n_out, 3), nn.Conv2d(n_out, n_out, 3)
        self.norms = nn.ModuleList(nn.GroupNorm(8, n_out) for _ in range(2))
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: torch.Tensor, pad: tuple[str, str]) -> torch.Tensor:
        """Map (n, n_in, y, x) to (n, n_out, y, x)."""
        hidden = F.gelu(self.norms[0](self.first(around(x, pad))))
        return self.shortcut(x) + self.norms[1](self.second(around(hidden, pad)))


class Network(nn.Module):
    """Encoder and decoder with skip connections (Ronneberger et al. 2015)."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Block(i, o) for i, o in zip((n_in, *WIDTHS), WIDTHS, strict=False))
        self.up = nn.ModuleList(Block(i + o, o) for i, o in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.head = nn.Conv2d(WIDTHS[0], 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor, pad: tuple[str, str]) -> torch.Tensor:
        """Map (n, n_in, y, x) to (n, y, x)."""
        levels = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else F.avg_pool2d(x, 2), pad)
            levels.append(x)
        for block, level in zip(self.up, levels[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2, mode="bilinear"), level], 1), pad)
        return self.head(x)[:, 0]


def around(x: torch.Tensor, pad: tuple[str, str]) -> torch.Tensor:
    """Pad a cell on each side, (rows, columns) with ``"circular"`` or ``"constant"``."""
    return F.pad(F.pad(x, (1, 1, 0, 0), mode=pad[1]), (0, 0, 1, 1), mode=pad[0])


class UNet(Peer):
    """Forecast the change from the last six fields, mean, standard deviation and position of each cell.

    Parameters
    ----------
    seconds : float
        Of training, Adam with one cycle of the rate.
    periodic : (bool, bool)
        Whether rows and columns go around.
    seed : int
    """

    n_before = N_FIELDS - 1  # steps before the first origin

    def __init__(self, seconds: float, periodic: tuple[bool, bool] = (False, False), seed: int = 0) -> None:
        super().__init__(anomalies=False)
        self.seconds, self.seed = seconds, seed
        self.pad = tuple("circular" if goes else "constant" for goes in periodic)

    def _learn(self, values: np.ndarray) -> None:
        """Learn from series (sample, time, y, x); missing values are zero, and no part of the loss."""
        torch.manual_seed(self.seed)
        self.mean, self.std = np.nanmean(values), np.nanstd(values)
        x = self._scaled(values)
        seen = torch.from_numpy(self.seen)
        position = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in x.shape[2:]), indexing="ij"))
        self.known = torch.cat([torch.stack([x.mean((0, 1)), x.std((0, 1)), seen.float()]), position])
        self.change = float(x.diff(dim=1)[..., seen].square().mean().sqrt())
        self.network = Network(N_FIELDS + len(self.known))
        optimizer, start, self.n_steps = torch.optim.Adam(self.network.parameters(), lr=RATE), time.perf_counter(), 0
        while (share := (time.perf_counter() - start) / self.seconds) < 1:
            samples = torch.randint(len(x), (BATCH,))
            times = torch.randint(N_FIELDS, x.shape[1], (BATCH,))
            past = torch.stack([x[s, t - N_FIELDS : t] for s, t in zip(samples, times, strict=True)])
            rate = share / 0.1 if share < 0.1 else 0.5 * (1 + math.cos(math.pi * (share - 0.1) / 0.9))
            for group in optimizer.param_groups:
                group["lr"] = RATE * max(rate, 0.01)
            error = (self._step(past) - x[samples, times])[:, seen] / self.change
            optimizer.zero_grad()
            error.square().mean().backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimizer.step()
            self.n_steps += 1

    def _scaled(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.nan_to_num((values - self.mean) / self.std).astype(np.float32))

    def _step(self, past: torch.Tensor) -> torch.Tensor:
        """Return the next field of (n, time, y, x)."""
        x = torch.cat([past, self.known.expand(len(past), -1, -1, -1)], 1)
        rows, columns = past.shape[2:]
        x = F.pad(x, (0, -columns % 4, 0, -rows % 4))  # two levels halve the grid
        return past[:, -1] + self.change * self.network(x, self.pad)[:, :rows, :columns]

    @torch.no_grad()
    def _continue(self, past: np.ndarray, horizon: int) -> np.ndarray:
        out = []
        for part in self._scaled(past).split(EVALUATED):
            path = part
            for _ in range(horizon):
                path = torch.cat([path, self._step(path[:, -N_FIELDS:])[:, None]], 1)
            out.append(path[:, N_FIELDS:])
        return torch.cat(out).numpy() * self.std + self.mean
