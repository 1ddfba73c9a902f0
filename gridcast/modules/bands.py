"""Large fields through networks of limited reach, in bands of rows: the same values in a fraction of the memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CELLS = 2**19  # of all fields that a network sees at once: with 64 channels on each, 128 MiB a layer


def in_bands(
    network: Callable[..., tuple[Tensor, ...]],
    inputs: Sequence[Tensor | None],
    n_blocks: int,
    reach: int,
    around: bool,
) -> tuple[Tensor, ...]:
    """Return what a network makes of fields, band by band where they are large and no gradient is wanted.

    Parameters
    ----------
    network : callable
        Maps inputs to outputs, all (n, channel, y, x).
    inputs : sequence of Tensor or None
        The first has the most rows; each has some rows for each of the blocks. None stays None.
    n_blocks : int
        Rows of the coarsest field.
    reach : int
        Rows of the coarsest field on each side that a place of an output depends on, at most.
    around : bool
        Whether the last row borders on the first.
    """
    first = inputs[0]
    if first is None:
        raise ValueError("inputs: the first tells how large the fields are, and can not be None")
    n_cells = len(first) * math.prod(first.shape[-2:])
    # of so much more than they reach that what lies beside them costs a quarter of themselves, at most
    n_bands = min(math.ceil(n_cells / CELLS), n_blocks // max(8 * reach, 1))
    if torch.is_grad_enabled() or n_bands < 2:
        return network(*inputs)
    made = []
    for start, stop in itertools.pairwise(n_blocks * i // n_bands for i in range(n_bands + 1)):
        low, high = start - reach, stop + reach
        if not around:
            low, high = max(low, 0), min(high, n_blocks)
        blocks = torch.arange(low, high, device=first.device) % n_blocks
        found = network(*(None if t is None else _rows(t, blocks, n_blocks) for t in inputs))
        share = (start - low, stop - start, high - low)
        made.append([_middle(t, *share) for t in found])
    return tuple(torch.cat(parts, dim=-2) for parts in zip(*made, strict=True))


def _rows(t: Tensor, blocks: Tensor, n_blocks: int) -> Tensor:
    """Return the rows of some blocks."""
    n = t.shape[-2] // n_blocks
    rows = blocks[:, None] * n + torch.arange(n, device=blocks.device)
    return t.index_select(-2, rows.flatten())


def _middle(t: Tensor, before: int, within: int, blocks: int) -> Tensor:
    """Return the rows of the blocks of a band without those beside it."""
    n = t.shape[-2] // blocks
    return t.narrow(-2, before * n, within * n)
