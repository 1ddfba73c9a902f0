"""How likely a run of fields is to a linear inverse model: its innovations, and solutions of what they ask."""

from __future__ import annotations

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.layers import go_around

STD_FLOOR = 1e-2  # of an innovation, in units of the coefficient: a place that never changes has none
MOST_ITERATIONS = 2000
TOLERANCE = 0.03  # standard deviations of a cell given all others that are known: what a search may leave
LOOK_BACK = 10  # iterations
SHARE = 1e-4  # of the square of a solution that is small beside the spread of cells: an error of a hundredth of it


class Innovations:
    """A linear map W of runs of fields to values that are independent and of unit variance under a linear model.

    The density of a run x is proportional to ``exp(-|W x|^2 / 2)``. The innovation of a step is the error of its
    forecast from the `n_lags` steps before it, in units of the standard deviation that hindcasts found; the first steps
    have their distance from the climatology and from the step before. Innovations of the coefficients of blocks count
    as independent: the sample covariance of past errors, which members of forecasts have, knows too few directions to
    be inverted, and a smoother believes those that it does not know.

    Parameters
    ----------
    model : LinearInverseModel
    """

    def __init__(self, model: LinearInverseModel) -> None:
        self.linear, self.frames = model.linear, model.frames
        go_around(self.linear, True)
        side = self.linear.downsampling
        # of cells; its mean over each block is taken for all of its coefficients
        ratio = F.avg_pool2d(self.frames.pad(model.ratio[:1]), side)[0].repeat_interleave(side**2, 0)
        self.std = (model.noise.std * ratio).clamp(min=STD_FLOOR)  # (n_folded, y / d, x / d)

    @property
    def n_lags(self) -> int:
        """Steps that the forecast of a step sees."""
        return self.linear.n_lags

    def __call__(self, x: Tensor) -> Tensor:
        """Return W x, (batch, time, n_folded, y / d, x / d), of runs (batch, time, channel, y, x)."""
        z = self.linear.fold(self.frames.pad(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        first = min(self.n_lags, x.shape[1])
        parts = [z[:, :1], z[:, :first].diff(dim=1) / self.linear.change]
        if (n := x.shape[1] - self.n_lags) > 0:
            lagged = torch.cat([z[:, self.n_lags - 1 - lag :][:, :n] for lag in range(self.n_lags)], dim=2)
            features = self.linear.features(lagged.flatten(0, 1))
            ahead = self.linear.unbounded(features).unflatten(0, (-1, n))
            parts.append((z[:, self.n_lags :] - ahead) / self.std)
        return torch.cat(parts, dim=1)

    def pull(self, x: Tensor, innovations: Tensor | None = None) -> Tensor:
        """Return the gradient of ``|W x - innovations|^2 / 2``, with the shape of `x`; innovations of 0 by default."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            found = self(x)
            wanted = found.detach() if innovations is None else found.detach() - innovations
            return torch.autograd.grad(found, x, wanted)[0]

    def local_precision(self) -> Tensor:
        """Return the precision of the cells of each block given all others, (channel, y', x', d * d, d * d).

        Of the innovations of the step itself and, by each coefficient's own weights, of those of the steps after it.
        """
        linear = self.linear
        total = 1 + linear.of_fields().square().sum(0)
        precision = total[:, None, None] / (linear.scale * self.std).square()
        of_channels = precision.unflatten(0, (-1, len(linear.basis)))
        return torch.einsum("ka,ckyx,kb->cyxab", linear.basis, of_channels, linear.basis)


class Problem:
    """The least of ``|W x - w|^2 / 2 + precision (x - target)^2 / 2`` over the free cells of runs.

    It is solved by conjugate gradients, preconditioned by the inverse of each block of the Hessian.

    Parameters
    ----------
    innovations : Innovations
    free : Tensor of bool, (batch, time, channel, y, x)
        Of each run, or, with a batch of 1, of all.
    precision : Tensor, same shape
        0 where nothing was observed.
    """

    def __init__(self, innovations: Innovations, free: Tensor, precision: Tensor) -> None:
        self.innovations, self.free, self.precision = innovations, free.float(), precision
        self.side = innovations.linear.downsampling
        mask, precision = self._blocks(self.free), self._blocks(precision)  # (time, channel, y', x', cells)
        both = mask[..., None] * mask[..., None, :]
        hessian = innovations.local_precision() * both + torch.diag_embed(precision + 1 - mask)
        self.inverse = (torch.linalg.inv(hessian) * both).unflatten(0, free.shape[:2])

    def solve(
        self, start: Tensor, target: Tensor, innovations: Tensor | None = None, *, relative: bool = False
    ) -> Tensor:
        """Return the solution (n, time, channel, y, x), which is `start` outside the free cells.

        Parameters
        ----------
        start, target : Tensor, (n, time, channel, y, x)
        innovations : Tensor, optional
            w, as `Innovations` has them; 0 by default.
        relative : bool
            See `invert`.
        """
        pulled = self.innovations.pull(start, innovations)
        return start + self.invert(-(pulled + self.precision * (start - target)), relative=relative)

    def invert(self, right: Tensor, *, relative: bool = False) -> Tensor:
        """Return the product of the inverse of the Hessian, 0 outside the free cells, and `right`.

        It may err by a small part of the spread that each free cell has given all others, or, if `relative`, of the
        solution itself, which a few cells far away may be all of.
        """
        residual = right * self.free
        solution, z = torch.zeros_like(residual), self._precondition(residual)
        direction, size = z, _dot(residual, z)
        least = TOLERANCE**2 * self.free.sum((1, 2, 3, 4), keepdim=True)
        gains: deque[Tensor] = deque(maxlen=LOOK_BACK)
        total = torch.zeros_like(size)
        for _ in range(MOST_ITERATIONS):
            product = (self.innovations.pull(direction) + self.precision * direction) * self.free
            step = size / _dot(direction, product).clamp(min=1e-30)
            solution, residual = solution + step * direction, residual - step * product
            gains.append(step * size)
            total = total + gains[-1]  # the square of the solution, in the same units
            # what the last steps gained is about the squared error that was left before them (Hestenes and Stiefel
            # 1952), summed over the cells in units of their variance
            if len(gains) == LOOK_BACK and not bool((sum(gains) > (SHARE * total if relative else least)).any()):
                break
            z = self._precondition(residual)
            before, size = size, _dot(residual, z)
            direction = z + size / before.clamp(min=1e-30) * direction
        return solution

    def _precondition(self, x: Tensor) -> Tensor:
        cells = self._blocks(x).unflatten(0, x.shape[:2])
        found = (self.inverse @ cells[..., None])[..., 0]
        shuffled = found.movedim(-1, 3).flatten(2, 3).flatten(0, 1)
        rows, columns = x.shape[-2:]
        return F.pixel_shuffle(shuffled, self.side)[..., :rows, :columns].unflatten(0, x.shape[:2])

    def _blocks(self, x: Tensor) -> Tensor:
        """Return runs (n, time, channel, y, x) as cells of whole blocks, (n * time, channel, y', x', cells)."""
        rows, columns = (-x.shape[dim] % self.side for dim in (-2, -1))
        cells = F.pixel_unshuffle(F.pad(x.flatten(0, 1), (0, columns, 0, rows)), self.side)
        return cells.unflatten(1, (x.shape[2], self.side**2)).movedim(2, -1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3, 4), keepdim=True)
