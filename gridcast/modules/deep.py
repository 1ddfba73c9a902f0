"""The network of a deep transition: fields in, their change out, with its depth on the grid of the latent."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.layers import (
    BOUNDED,
    Around,
    GridConv2d,
    LocatedConv2d,
    fill_bias_,
    positive,
    softplus_inverse,
    zero_,
)

FINE_CHANNELS = 16  # on the cells: narrow, since there are many
RESIDUAL_GAIN = 0.3  # of a block at the start: a deep stack then begins near the identity
SCALE_FLOOR = 1e-3
N_GROUPS = 8  # of channels that are normalised together
NORM_FLOOR = 1e-5  # of a mean square: where all channels are zero


class LocalNorm(nn.Module):
    """Channels divided by their root mean square at each place (Zhang and Sennrich 2019), scaled and shifted.

    For what learns from patches, of which statistics are not those of a whole field.

    Parameters
    ----------
    n_channels : int
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(n_channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(n_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_channels, y, x) to the same shape."""
        return torch.addcmul(self.shift, x * torch.rsqrt(x.square().mean(1, keepdim=True) + NORM_FLOOR), self.gain)


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to what they saw (He et al. 2016, pre-activation).

    Parameters
    ----------
    n_channels, kernel_size : int
    local : bool
        Normalise each place by itself, instead of groups of channels over the field.
    periodic : (bool, bool)
        Whether rows and columns go around.
    """

    def __init__(self, n_channels: int, kernel_size: int, *, local: bool = False, periodic: Around = BOUNDED) -> None:
        super().__init__()
        self.norm = _norm(n_channels, local)
        self.first = GridConv2d(n_channels, n_channels, kernel_size, periodic=periodic)
        self.second = GridConv2d(n_channels, n_channels, kernel_size, periodic=periodic)
        self.gain = nn.Parameter(torch.full((n_channels, 1, 1), RESIDUAL_GAIN))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_channels, y, x) to the same shape."""
        return x + self.gain * self.second(F.gelu(self.first(F.gelu(self.norm(x)))))


class DeepTransition(nn.Module):
    """Change of the field and scale of the next latent, by a network as deep as a U-Net and a fraction of its cost.

    Convolutions of stride 2 lead from the cells to the blocks of the latent, where a stack of residual blocks has
    nearly all the operations; what it says is led back to the cells with skip connections (Ronneberger et al. 2015).
    Cells keep the same weights wherever in a block they lie, which a short series needs; the depth stands where a step
    is cheap, which a long one needs. A place sees `reach` blocks on each side.

    Parameters
    ----------
    n_fields, n_hidden, n_latent, n_channels : int
        Channels of what it sees on the cells, of the blocks, of the latent and of a field.
    kernel_size, depth : int
        Of each convolution; number of residual blocks.
    downsampling : int
        Cells of a block and side, a power of 2.
    n_location, n_clock : int
        Channels of what is known of each place, and of the time.
    local : bool
        A place depends on no other beyond its reach: for networks that learn from patches, and large grids.
    periodic : (bool, bool)
        Whether rows and columns go around.

    Attributes
    ----------
    reach : int
        Blocks on each side that a place depends on, but for the normalisation of a network that is not local.
    """

    def __init__(
        self,
        n_fields: int,
        n_hidden: int,
        n_latent: int,
        n_channels: int,
        kernel_size: int,
        depth: int,
        *,
        downsampling: int,
        n_location: int = 0,
        n_clock: int = 0,
        local: bool = False,
        periodic: Around = BOUNDED,
    ) -> None:
        super().__init__()
        levels = downsampling.bit_length() - 1
        # the widths double from the cells on, up to the blocks
        widths = [FINE_CHANNELS * 2**level for level in range(levels)] + [n_hidden]
        # two convolutions a block, one before and behind them, and the cells of the inlet
        self.reach, self.around, self.local = (2 * depth + 3) * (kernel_size // 2), periodic[0], local
        self.inlet = GridConv2d(n_fields, widths[0], kernel_size, periodic=periodic)
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.known = LocatedConv2d(n_hidden, n_hidden, kernel_size, n_location=n_location, periodic=periodic)
        self.clock = nn.Conv2d(n_clock, n_hidden, 1, bias=False) if n_clock else None
        self.blocks = nn.Sequential(
            *(ResidualBlock(n_hidden, kernel_size, local=local, periodic=periodic) for _ in range(depth))
        )
        # a 1 x 1 convolution to the four cells that a coarse one is made of
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in steps)
        self.norm, self.scale_norm = _norm(widths[0], local), _norm(n_hidden, local)
        self.change = GridConv2d(widths[0], n_channels, kernel_size, periodic=periodic)
        self.scale = GridConv2d(n_hidden, n_latent, kernel_size, periodic=periodic)
        # zero and one until trained: the forecast is then persistence, and its error the noise
        for layer in (self.change, self.scale):
            zero_(layer)
        fill_bias_(self.scale, softplus_inverse(1.0 - SCALE_FLOOR))

    def forward(self, fields: Tensor, clock: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the change of the field, (n, n_channels, y, x), and the scale of the latent, (n, n_latent, y', x').

        Parameters
        ----------
        fields : Tensor, (n, n_fields, y, x)
        clock : Tensor, (n, n_clock, y', x')
        location : Tensor, (batch, n_location, y', x'), optional
        """
        levels = [self.inlet(fields)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = self.known(levels.pop(), location)
        if self.clock is not None:
            x = x + self.clock(clock)
        x = self.blocks(x)
        # detached: the likelihood, which teaches the scale alone, is not to shape what the change is made of
        scale = positive(self.scale(F.gelu(self.scale_norm(x.detach()))), SCALE_FLOOR)
        for up in reversed(self.up):
            x = levels.pop() + F.pixel_shuffle(up(x), 2)
        return self.change(F.gelu(self.norm(x))).float(), scale


def _norm(n_channels: int, local: bool) -> nn.Module:
    if local:
        return LocalNorm(n_channels)
    return nn.GroupNorm(N_GROUPS if n_channels % N_GROUPS == 0 else 1, n_channels)
