"""What a neural forecaster is made of and what it costs, as text and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from torch import nn

from gridcast.training.cost import Cost, training_cost

MOST_CELLS = 96 * 96


@dataclass(frozen=True)
class Summary:
    """A fitted forecaster in figures; prints as text, shows as a table in notebooks.

    Parameters
    ----------
    name : str
        Of the class.
    parts : DataFrame
        ``parameters`` and ``share`` of them for each ``part``.
    grid : (int, int, int)
        Channels, rows and columns of a frame.
    cost : Cost
        Of training on whole frames: ``flop`` (a mean over the training) and ``saved_bytes`` (at most) for each frame.
    """

    name: str
    parts: pd.DataFrame
    grid: tuple[int, int, int]
    cost: Cost

    @property
    def n_parameters(self) -> int:
        """Trained weights."""
        return int(self.parts["parameters"].sum())

    def __str__(self) -> str:
        return f"{self.parts.to_string(formatters={'share': '{:.0%}'.format})}\n\n{self._totals}"

    def _repr_html_(self) -> str:
        table = self.parts.style.format({"parameters": "{:,}", "share": "{:.0%}"}).set_caption(self.name)
        return f"{table.to_html()}<p>{self._totals}</p>"

    @property
    def _totals(self) -> str:
        return (
            f"{self.name}: {self.n_parameters:,} parameters, {4e-6 * self.n_parameters:.1f} MB in float32. "
            f"Training takes {self.cost.flop / 1e9:.3g} GFLOP and {self.cost.saved_bytes / 2**20:.3g} MiB of "
            f"activations a frame of {' x '.join(map(str, self.grid))}."
        )


def summarise(
    name: str,
    module: nn.Module,
    grid: tuple[int, int, int],
    window: int,
    *,
    stages: Sequence[float],
    patches: bool,
    n_clock: int,
    device: str,
) -> Summary:
    """Count weights, operations and memory of a module.

    Parameters
    ----------
    name : str
    module : Module
    grid : (int, int, int)
    window : int
    stages : sequence of float
        Shares of the training after which another stage begins.
    patches : bool
        Whether the module works on patches; the cost of large grids is then that of a patch, times the cells.
    n_clock : int
    device : str
    """
    counts = {child: sum(p.numel() for p in part.parameters()) for child, part in module.named_children()}
    counts["initial states"] = sum(p.numel() for p in module.parameters()) - sum(counts.values())
    parts = pd.DataFrame({"parameters": {part: n for part, n in counts.items() if n}}).rename_axis("part")
    parts["share"] = parts["parameters"] / parts["parameters"].sum()
    rows, columns = grid[1:]
    small = patches and rows * columns > MOST_CELLS
    size = (min(rows, 64), min(columns, 64)) if small else (rows, columns)
    cost = training_cost(module, (window, grid[0], *size), stages=stages, patch=small, n_clock=n_clock, device=device)
    return Summary(name, parts, grid, cost.scaled(rows * columns / (size[0] * size[1])))
