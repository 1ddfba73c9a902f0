"""A module on a part of its grid: what held-out forecasts of a large grid are made with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from gridcast.modules.deep import DeepTransition
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.layers import BOUNDED, Around, GridConv2d, GridConvTranspose2d


@dataclass(frozen=True)
class Places:
    """Regions of a grid.

    Parameters
    ----------
    grid, size : (int, int)
        Rows and columns of the grid, and of each region.
    first : sequence of (int, int)
        First row and column of each, whole blocks as their size is.
    multiple : int
        Cells of a block and side.
    periodic : (bool, bool)
        Whether rows and columns of the grid go around.
    """

    grid: tuple[int, int]
    size: tuple[int, int]
    first: Sequence[tuple[int, int]]
    multiple: int
    periodic: Around = BOUNDED

    @contextmanager
    def at(self, i: int, module: nn.Module) -> Iterator[None]:
        """Let a module see the `i`-th region as if it were its grid.

        What it holds for each cell, or each block, has rows and columns last, and is cut out; beyond the sides lie
        zeros, as beyond those of a patch. Rows or columns that are all in the region go around as they do.
        """
        before: list[tuple[object, str, object]] = []

        def replace(owner: object, name: str, value: object) -> None:
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

        rows_go, columns_go = (
            goes and side == n for goes, side, n in zip(self.periodic, self.size, self.grid, strict=True)
        )
        blocks = tuple(-(-n // self.multiple) for n in self.grid)
        try:
            for part in module.modules():
                for name, buffer in list(part.named_buffers(recurse=False)):
                    shape = tuple(buffer.shape[-2:])
                    if buffer.ndim > 2 and shape in (self.grid, blocks):
                        n = 1 if shape == self.grid else self.multiple
                        rows, columns = (
                            # a side of less than a block is in one all the same
                            slice(p // n, -(-(p + side) // n))
                            for p, side in zip(self.first[i], self.size, strict=True)
                        )
                        replace(part, name, buffer[..., rows, columns])
                if isinstance(part, LinearInverseModel):
                    replace(part, "size", self.size)
                if isinstance(part, DeepTransition):
                    replace(part, "around", part.around and rows_go)
                if isinstance(part, GridConv2d | GridConvTranspose2d) and part.periodic != BOUNDED:
                    goes = part.periodic[0] and rows_go, part.periodic[1] and columns_go
                    replace(part, "periodic", goes)
                    if isinstance(part, GridConv2d):
                        replace(part, "padding", tuple(0 if along else part.reach for along in goes))
            yield
        finally:
            for owner, name, value in reversed(before):
                setattr(owner, name, value)
