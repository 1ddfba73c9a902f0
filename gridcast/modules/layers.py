"""Convolutions on gridded fields: around the globe where asked, and aware of where they are."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ERROR_FLOOR = 1e-8  # of squared scaled data: the logarithm of a perfect forecast stays finite


Around = tuple[bool, bool]  # whether rows and columns go around: the last borders on the first
BOUNDED: Around = (False, False)


def pad_sides(x: Tensor, n: int, periodic: Around, around: bool = True) -> Tensor:
    """Add `n` rows, columns or both to ``x``, (..., y, x): those of the other side if `around`, else zeros."""
    for dim in (dim for dim, goes in zip((-2, -1), periodic, strict=True) if goes):
        last, first = x.narrow(dim, x.shape[dim] - n, n), x.narrow(dim, 0, n)
        # not F.pad's "circular", which refuses more than there are
        x = torch.cat([last, x, first] if around else [zeros := torch.zeros_like(last), x, zeros], dim=dim)
    return x


def go_around(module: nn.Module, around: bool) -> None:
    """Make the periodic convolutions of `module` wrap, or not: the sides of a patch do not border on each other."""
    for part in module.modules():
        if isinstance(part, GridConv2d | GridConvTranspose2d):
            part.around = around


class GridConv2d(nn.Conv2d):
    """Convolution that pads rows and columns with zeros or, where `periodic`, with those of the other side."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        periodic: Around = BOUNDED,
        bias: bool = True,
    ) -> None:
        half = kernel_size // 2
        padding = (0 if periodic[0] else half, 0 if periodic[1] else half)
        super().__init__(n_in, n_out, kernel_size, stride=stride, padding=padding, groups=groups, bias=bias)
        self.reach, self.periodic, self.around = half, periodic, True  # `around` is set by `go_around` for each call

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, y, x) to (n, n_out, y / stride, x / stride)."""
        return super().forward(pad_sides(x, self.reach, self.periodic, self.around))


class GridConvTranspose2d(nn.ConvTranspose2d):
    """Deconvolution that doubles rows and columns (4 x 4, stride 2, padding 1, as the paper's emitter)."""

    def __init__(self, n_in: int, n_out: int, *, periodic: Around = BOUNDED) -> None:
        super().__init__(n_in, n_out, kernel_size=4, stride=2, padding=1)
        self.periodic, self.around = periodic, True

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map (n, n_in, y, x) to (n, n_out, 2 y, 2 x)."""
        y = super().forward(pad_sides(x, 1, self.periodic, self.around))
        # what comes of the rows and columns that were added is cut off again
        for dim in (dim for dim, goes in zip((-2, -1), self.periodic, strict=True) if goes):
            y = y.narrow(dim, 2, y.shape[dim] - 4)
        return y


class LocatedConv2d(nn.Module):
    """Convolution of a field plus a convolution of what is known of each place, computed once for all its steps.

    ``y[b, s] = conv(z[b, s]) + conv_location(location[b])`` for the frames ``s`` of batch entry ``b``: a convolution
    over both, without repeating the location for every frame.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel_size: int, *, n_location: int = 0, periodic: Around = BOUNDED
    ) -> None:
        super().__init__()
        self.conv = GridConv2d(n_in, n_out, kernel_size, periodic=periodic)
        self.location = (
            GridConv2d(n_location, n_out, kernel_size, periodic=periodic, bias=False) if n_location else None
        )

    def forward(self, z: Tensor, location: Tensor | None = None) -> Tensor:
        """Map z (b * s, n_in, y, x) and location (b, n_location, y, x) to (b * s, n_out, y, x)."""
        y = self.conv(z)
        if self.location is None or location is None:
            return y
        here = self.location(location).unsqueeze(1)  # (b, 1, n_out, y, x)
        return (y.unflatten(0, (here.shape[0], -1)) + here).flatten(0, 1)  # (b, s, n_out, y, x) + (b, 1, n_out, y, x)


def single_precision(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a method of a tensor out of mixed precision, which would round it by more than the networks add to it."""

    @functools.wraps(method)
    def run(self: nn.Module, x: Tensor, *further: Any) -> Any:
        # bfloat16 has 8 bits: forecasts would be rounded to a part in 256
        with torch.autocast(x.device.type, enabled=False):
            return method(self, x.float(), *further)

    return run


def log_rms(error: Tensor, seen: Tensor) -> Tensor:
    """Return the logarithm of the root mean square of `error` where `seen`, (batch, time, channel, y, x), per field.

    As a loss it is the negative log-likelihood of a Gaussian whose scale is the best one for each window, step and
    channel, (batch, time, channel): neither late leads nor noisy windows outweigh the others.
    """
    # a field without observations counts with the floor alone and has no gradient
    n_seen = seen.sum((3, 4)).clamp(min=1)
    return 0.5 * torch.log((error.square() * seen).sum((3, 4)) / n_seen + ERROR_FLOOR)


def by_lead(table: Tensor, horizon: int) -> Tensor:
    """Return the rows of `table` (lead, ...) for a forecast of `horizon` steps; later leads take the last."""
    return table[torch.arange(horizon, device=table.device).clamp(max=len(table) - 1)]


def mean_around(x: Tensor, n_cells: int) -> Tensor:
    """Return the mean of `x` (n, channel, y, x) over so many rows and columns around each cell, an odd number."""
    size = [min(n_cells, (n - 1) // 2 * 2 + 1) for n in x.shape[-2:]]  # odd, and no larger than the field
    return F.avg_pool2d(x, size, stride=1, padding=[n // 2 for n in size], count_include_pad=False)


def softplus_inverse(value: float) -> float:
    """Return the argument at which softplus is `value`."""
    return math.log(math.expm1(value))  # softplus(v) = log(1 + exp(v))


def positive(raw: Tensor, floor: float) -> Tensor:
    """Softplus with a floor, in single precision: a scale that can not collapse to zero."""
    return F.softplus(raw.float()) + floor


def identity_(conv: nn.Conv2d) -> None:
    """Make `conv` copy its first channels: weight 1 at the centre of channel i to channel i, all else zero."""
    with torch.no_grad():
        nn.init.dirac_(conv.weight)
        if conv.bias is not None:
            conv.bias.zero_()


def zero_(conv: nn.Module) -> None:
    """Make a layer return zero until it is trained."""
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.zero_()


def fill_bias_(layer: nn.Module, value: float) -> None:
    """Set the bias of a layer."""
    with torch.no_grad():
        layer.get_parameter("bias").fill_(value)
