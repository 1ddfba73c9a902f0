"""Forecasts of each lead weighed against each other by held-out steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.optimize import lsq_linear
from torch import Tensor, nn

from gridcast.modules.layers import ERROR_FLOOR, by_lead

# Forecasts beside those that were made: in which what is trusted was right, the first source had no share, and the sum
# was neither too large nor too small. A short tail tells best who is right, and least whether all are too large.
PRIOR_OF_OTHERS, PRIOR_OF_SHARE, PRIOR_OF_SIZE = 8.0, 1.0, 8.0
MOST_WEIGHT = 1.5  # of a source


@dataclass
class Products:
    """Means, over forecasts of each lead, of the products of several sources with each other and with the truth.

    Parameters
    ----------
    gram : Tensor, (horizon, n_sources, n_sources)
    cross : Tensor, (horizon, n_sources)
    square : Tensor, (horizon,)
        Of the truth.
    cases : Tensor, (horizon,)
        Independent forecasts of each lead; 0 where nothing is known of one.
    """

    gram: Tensor
    cross: Tensor
    square: Tensor
    cases: Tensor

    @classmethod
    def of(cls, sources: Tensor, truth: Tensor, cases: Tensor) -> Products:
        """Return those of forecasts (n_sources, n, horizon, channel, y, x) and what came, NaN where not known."""
        horizon, found = truth.shape[1], []
        for lead in range(horizon):  # one by one: double precision takes twice the memory
            seen = truth[:, lead].isfinite()
            # on the CPU: not all devices know double precision
            f, y = sources[:, :, lead][:, seen].cpu().double(), truth[:, lead][seen].cpu().double()
            n = max(len(y), 1)
            found.append((f @ f.T / n, f @ y / n, y @ y / n, cases[lead].cpu().double() * bool(len(y))))
        return cls(*(torch.stack(part) for part in zip(*found, strict=True)))

    def plus(self, other: Products) -> Products:
        """Return the means over both samples, each with the weight of its cases."""
        cases = self.cases + other.cases
        share = (other.cases / cases.clamp(min=1e-12))[:, None]
        return Products(
            torch.lerp(self.gram, other.gram, share[..., None]),
            torch.lerp(self.cross, other.cross, share),
            torch.lerp(self.square, other.square, share[:, 0]),
            cases,
        )

    def to(self, change: Tensor) -> Products:
        """Return those of other sources, sums of these with the weights `change` (horizon, n_others, n_sources)."""
        gram = change @ self.gram @ change.mT
        return Products(gram, (change @ self.cross[..., None])[..., 0], self.square, self.cases)

    def weights(self, trusted: int, prior: float) -> Tensor:
        """Return the weights of each lead that have the least squared error, (horizon, n_sources).

        Few cases, against `prior` of them, hardly move them from the source that is trusted; 0 where there is none.
        """
        found = torch.zeros_like(self.cross)
        for lead in self.cases.nonzero()[:, 0].tolist():
            share = prior / float(self.cases[lead])
            # the prior is as many more cases in which the trusted source was right
            gram, cross = self.gram[lead], self.cross[lead]
            found[lead] = _least_squares((1 + share) * gram, cross + share * gram[trusted])
        return found

    def shares(self) -> Tensor:
        """Return the weights of two sources, the second of them trusted, that have the least squared error.

        Few cases hardly give the first a share, and hardly move the sum of both from 1; 0 where there is none.
        """
        found = torch.zeros_like(self.cross)
        for lead in self.cases.nonzero()[:, 0].tolist():
            gram, cross, cases = self.gram[lead], self.cross[lead], float(self.cases[lead])
            apart = gram[0, 0] - 2 * gram[0, 1] + gram[1, 1]  # the square of the difference
            share = torch.diag(torch.stack([PRIOR_OF_SHARE / cases * apart, torch.zeros_like(apart)]))
            size = PRIOR_OF_SIZE / cases * gram[1, 1]
            found[lead] = _least_squares(gram + share + size, cross + size)
        return found

    def errors(self, weights: Tensor) -> Tensor:
        """Return the mean squared error of sums of the sources, (horizon,); infinite where nothing is known."""
        explained = 2 * (weights * self.cross).sum(-1) - (weights * (self.gram @ weights[..., None])[..., 0]).sum(-1)
        return torch.where(self.cases > 0, (self.square - explained).clamp(min=0.0), torch.inf)


class Blend(nn.Module):
    """Weights of several forecasts at each lead; what they leave to one goes to the climatology, which is zero here.

    Later leads take the weights of the last.

    Parameters
    ----------
    sources : tuple of str
        Names of the forecasts; until `fit` the first has the weight 1.
    trusted : str
        The one that is right where held-out forecasts are too few to tell.
    horizon : int

    Attributes
    ----------
    weights : Tensor, (horizon, n_sources)
    errors : Tensor, (horizon, n_sources + 3)
        Mean squared error of the held-out forecasts of each source, of the climatology, of the weighted sum without the
        first source and of that with it; infinite where none is that long.
    """

    weights: Tensor
    errors: Tensor

    def __init__(self, sources: tuple[str, ...], trusted: str, horizon: int) -> None:
        super().__init__()
        self.sources, self.trusted = sources, sources.index(trusted)
        self.register_buffer("weights", torch.zeros(horizon, len(sources)))
        self.register_buffer("errors", torch.empty(horizon, len(sources) + 3))
        self.reset()

    def reset(self) -> None:
        """Give the first source the weight 1, as if nothing had been held out."""
        self.weights.zero_()[:, 0] = 1.0
        self.errors.fill_(torch.inf)

    @torch.no_grad()
    def fit(
        self,
        forecasts: Tensor,
        truth: Tensor,
        cases: Tensor,
        earlier: Products | None = None,
        *,
        with_first: bool = True,
    ) -> None:
        """Take the weights of least squared error.

        All sources but the first are weighed against each other, by the held-out forecasts and those that are given
        with them, and the first against their sum, by the held-out ones alone: one source is trained, and knows too
        much of all others.

        Parameters
        ----------
        forecasts : Tensor, (n_sources, n, horizon, channel, y, x)
            Of steps that no source was fitted to.
        truth : Tensor, (n, horizon, channel, y, x)
            NaN where it is not known.
        cases : Tensor, (horizon,)
            Independent forecasts of each lead: those that overlap err alike.
        earlier : Products, optional
            Of all sources but the first.
        with_first : bool
            Whether the first has a weight at all.
        """
        held_out = Products.of(forecasts, truth, cases)
        n = len(self.sources)
        # of all sources but the first
        others = held_out.to(torch.eye(n, dtype=torch.float64)[1:].expand(len(cases), -1, -1))
        known = others if earlier is None else others.plus(earlier)
        # (horizon, n_sources)
        beside = F.pad(_carried(known.weights(self.trusted - 1, PRIOR_OF_OTHERS), known.cases), (1, 0))
        first = torch.eye(n, dtype=torch.float64)[:1].expand(len(cases), -1)
        shares = _carried(held_out.to(torch.stack([first, beside], dim=1)).shares(), held_out.cases, (1.0, 0.0))
        weights = (shares[:, :1] * first + shares[:, 1:] * beside).clamp(max=MOST_WEIGHT)
        # as much room for the others alone: what the first adds is not to be the size of their sum
        size = held_out.to(beside[:, None]).weights(0, PRIOR_OF_SIZE)
        beside = _carried(size, held_out.cases, (1.0,)) * beside
        weights = weights if with_first else beside
        self.weights.copy_(weights)
        alone = [row.expand(len(cases), -1) for row in torch.eye(n, dtype=torch.float64)]
        made = (*alone, torch.zeros_like(weights), beside, weights)
        self.errors.copy_(torch.stack([held_out.errors(each) for each in made], dim=1))

    def gain(self) -> float:
        """Return the share by which the first source lowers the error of the sum, the geometric mean over leads.

        NaN where no held-out forecast tells.
        """
        known = self.errors[self.errors[:, -1].isfinite(), -2:].cpu().double().clamp(min=ERROR_FLOOR)
        return 1 - float((known[:, 1] / known[:, 0]).log().mean().exp())

    def table(self) -> pd.DataFrame:
        """Return weights and errors of each lead, see `gridcast.CNMMForecaster.decisions_`."""
        errors = self.errors.cpu().double().numpy()
        n = len(self.sources)
        columns = dict(zip(self.sources, self.weights.cpu().numpy().T, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            # in units of the error of the climatology, which stands behind the sources
            relative = errors / errors[:, n : n + 1]
        columns |= {f"error_{name}": relative[:, i] for i, name in enumerate(self.sources)}
        columns |= {"error": relative[:, -1], "gain": 1 - relative[:, -1] / relative[:, -2]}
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(errors) + 1, name="lead"))

    def mean(self, forecasts: Tensor) -> Tensor:
        """Return the weighted sum of forecasts (n_sources, n, horizon, channel, y, x) over the sources."""
        return torch.einsum("sbhcyx,hs->bhcyx", forecasts, by_lead(self.weights, forecasts.shape[2]))


def _carried(rows: Tensor, known: Tensor, first: Sequence[float] | None = None) -> Tensor:
    """Return rows by lead of which those that are not known are the last known one, or `first` before any."""
    last = rows.new_tensor(first) if first is not None else torch.zeros_like(rows[0])
    found = []
    for row, n in zip(rows, known, strict=True):
        last = row if n > 0 else last
        found.append(last)
    return torch.stack(found)


def _least_squares(gram: Tensor, cross: Tensor) -> Tensor:
    """Return the weights of least squares between 0 and `MOST_WEIGHT`, from sums of products."""
    values, vectors = torch.linalg.eigh(gram)
    root = values.clamp(min=0).sqrt()
    # sources that say the same, or nothing, leave directions of which the sums tell nothing
    right = torch.where(values > 1e-9 * values[-1], (vectors.T @ cross) / root.clamp(min=1e-150), 0.0)
    # a forecast that is to be mistrusted is not to be turned around, and one that says next to nothing not blown up
    bounded = lsq_linear((root * vectors).T.numpy(), right.numpy(), (0.0, MOST_WEIGHT))
    return gram.new_tensor(bounded.x)
