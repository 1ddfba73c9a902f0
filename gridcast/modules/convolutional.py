"""Convolutional parts of the Markov module: encoder, combiner, transition and emitter of the CNMM."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.layers import (
    BOUNDED,
    Around,
    GridConv2d,
    GridConvTranspose2d,
    positive,
    softplus_inverse,
    zero_,
)

STRIDES = {1: (1, 1), 2: (2, 1), 4: (2, 2)}  # of the two convolutions; their product is the downsampling
LATENT_FLOOR, EMISSION_FLOOR = 1e-3, 1e-3  # of scaled data: a scale near 0 makes the likelihood explode


class ConvEncoder(nn.Module):
    """``ReLU(CNN_X'(ReLU(CNN_X(x_t))))``, equation (7); strides of 2 give the bottleneck."""

    def __init__(
        self,
        n_in: int,
        channels: Sequence[int],
        kernel_size: int,
        *,
        downsampling: int,
        periodic: Around = BOUNDED,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_out, stride in zip(channels, STRIDES[downsampling], strict=True):
            layers.append(GridConv2d(n_in, n_out, kernel_size, stride=stride, periodic=periodic))
            layers.append(nn.ReLU())
            n_in = n_out
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames (n, n_in, y, x) to features (n, channels[-1], y / downsampling, x / downsampling)."""
        return self.layers(x)


class ConvCombiner(nn.Module):
    """Posterior of one step, equations (8) to (10).

    ``h = (tanh(CNN_H(z_{t-1})) + h_t) / 2``, ``loc = CNN(h)``, ``scale = softplus(CNN(h))``.
    """

    def __init__(self, n_in: int, n_hidden: int, n_out: int, kernel_size: int, *, periodic: Around = BOUNDED) -> None:
        super().__init__()
        self.previous = GridConv2d(n_in, n_hidden, kernel_size, periodic=periodic)
        self.loc = GridConv2d(n_hidden, n_out, kernel_size, periodic=periodic)
        self.scale = GridConv2d(n_hidden, n_out, kernel_size, periodic=periodic)

    def forward(
        self, previous: Tensor, hidden: Tensor, skip: Tensor | None, ahead: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_out, y, x) from z_{t-1} and the hidden state alone."""
        combined = self.combine(previous, hidden)
        # float(): in mixed precision a latent, added up over many steps, would lose its small changes
        return self.loc(combined).float(), positive(self.scale(combined), LATENT_FLOOR)

    def combine(self, previous: Tensor, hidden: Tensor) -> Tensor:
        """Return the mean of the hidden state and what is known from z_{t-1}."""
        return (hidden + torch.tanh(self.previous(previous))) / 2


class ConvTransition(nn.Module):
    """Gated transition, equations (12) to (15).

    ``g = sigmoid(CNN_G'(ReLU(CNN_G(z))))``, ``j = CNN_J'(ReLU(CNN_J(z)))``, ``loc = (1 - g) CNN_Z(z) + g j``,
    ``scale = softplus(CNN_s(ReLU(j)))``.

    Parameters
    ----------
    n_in, n_hidden, n_out : int
        Channels of z, of the hidden layers and of the result.
    kernel_size : int
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        n_out: int,
        kernel_size: int,
        *,
        periodic: Around = BOUNDED,
    ) -> None:
        super().__init__()
        self.gate_in = GridConv2d(n_in, n_hidden, kernel_size, periodic=periodic)
        self.gate_out = GridConv2d(n_hidden, n_out, kernel_size, periodic=periodic)
        self.jump_in = GridConv2d(n_in, n_hidden, kernel_size, periodic=periodic)
        self.jump_out = GridConv2d(n_hidden, n_out, kernel_size, periodic=periodic)
        self.linear = GridConv2d(n_in, n_out, kernel_size, periodic=periodic)
        # from the jump, n_out channels, as equation (15) has it
        self.scale = GridConv2d(n_out, n_out, kernel_size, periodic=periodic)

    def forward(self, z: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_out, y, x) of the latent field after `z`; these networks see no `location`."""
        del location
        gate = torch.sigmoid(self.gate_out(F.relu(self.gate_in(z))))
        jump = self.jump_out(F.relu(self.jump_in(z)))
        loc = torch.lerp(self.linear(z), jump, gate)  # (1 - gate) * linear + gate * jump
        return loc.float(), positive(self.scale(F.relu(jump)), LATENT_FLOOR)


class Upsampler(nn.Module):
    """Features of the latent grid to mean and scale of the observation: two deconvolutions, equations (17) to (19)."""

    def __init__(
        self,
        channels: Sequence[int],
        n_out: int,
        kernel_size: int,
        *,
        downsampling: int,
        head: str = "linear",
        periodic: Around = BOUNDED,
    ) -> None:
        super().__init__()
        self.n_in, second = channels
        strides = STRIDES[downsampling]

        def up(n_in: int, n: int, stride: int) -> nn.Module:
            # a stride of 1 keeps the size: an ordinary convolution does
            if stride == 2:
                return GridConvTranspose2d(n_in, n, periodic=periodic)
            return GridConv2d(n_in, n, kernel_size, periodic=periodic)

        self.up = up(self.n_in, second, strides[0])
        self.heads = up(second, 2 * n_out, strides[1])  # loc and scale in one pass
        self.head = head

    def start_as_zero(self, scale: float) -> None:
        """Make the mean zero and the scale constant until trained."""
        # weights and bias; the last layer alone, so that the ones before it get a gradient
        zero_(self.heads)
        with torch.no_grad():
            bias = self.heads.get_parameter("bias")
            bias[len(bias) // 2 :] = softplus_inverse(scale)  # the second half: see `chunk` in `forward`

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return loc and scale, (n, n_out, y, x)."""
        loc, scale = self.heads(F.relu(self.up(F.relu(features)))).chunk(2, dim=1)  # each (n, n_out, y, x)
        # tanh: the paper scales data to (-1, 1)
        return (torch.tanh(loc) if self.head == "tanh" else loc).float(), positive(scale, EMISSION_FLOOR)


class ConvEmitter(nn.Module):
    """Observation of a latent field, equations (17) to (19).

    ``l = ReLU(DCN_L(ReLU(CNN_L(z))))``, ``loc = tanh(DCN(l))``, ``scale = softplus(DCN(l))``.
    """

    def __init__(self, n_latent: int, upsampler: Upsampler, kernel_size: int, *, periodic: Around = BOUNDED) -> None:
        super().__init__()
        self.trunk = GridConv2d(n_latent, upsampler.n_in, kernel_size, periodic=periodic)
        self.upsampler = upsampler

    def forward(self, z: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, channel, y, x) of the observation of `z` (n, n_latent, y / d, x / d)."""
        del location
        return self.upsampler(self.trunk(z))


class ConvLocator(nn.Module):
    """What is known of each place, folded to the latent grid: a linear map of the constant channels.

    Parameters
    ----------
    n_static, n_location : int
        Channels of what is known and of the result.
    downsampling : int
    """

    def __init__(self, n_static: int, n_location: int, *, downsampling: int) -> None:
        super().__init__()
        self.downsampling = downsampling
        # no activation: the layers that see the result have their own
        self.linear = nn.Conv2d(n_static * downsampling**2, n_location, 1)

    def forward(self, static: Tensor) -> Tensor:
        """Map (n, n_static, y, x) to (n, n_location, y / downsampling, x / downsampling)."""
        # folded, not averaged: a coast keeps its place in the block
        return self.linear(F.pixel_unshuffle(static, self.downsampling))
