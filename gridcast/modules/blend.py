"""Forecasts of each lead weighed against each other by held-out steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy.optimize import lsq_linear
from torch import Tensor, nn

from gridcast.modules.layers import ERROR_FLOOR, by_lead

PRIOR_CASES = 2.0  # held-out forecasts in which the trusted source was right, beside those that were made
MOST_WEIGHT = 1.5  # of a source


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
    def fit(self, forecasts: Tensor, truth: Tensor, cases: Tensor) -> None:
        """Take the weights of least squared error.

        Parameters
        ----------
        forecasts : Tensor, (n_sources, n, horizon, channel, y, x)
            Of steps that no source was fitted to.
        truth : Tensor, (n, horizon, channel, y, x)
            NaN where it is not known.
        cases : Tensor, (horizon,)
            Independent forecasts of each lead: those that overlap err alike.
        """
        for lead in range(len(self.weights)):
            seen = truth[:, lead].isfinite()
            if not seen.any():  # no held-out forecast is that long
                self.weights[lead] = self.weights[max(lead - 1, 0)]
                continue
            f, y = forecasts[:, :, lead][:, seen].cpu().double(), truth[:, lead][seen].cpu().double()
            share = PRIOR_CASES / float(cases[lead])
            # the prior is as many more cases in which the trusted source was right
            gram, cross = (1 + share) * (f @ f.T), f @ y + share * (f @ f[self.trusted])
            weights = _least_squares(gram, cross)
            without = torch.cat([weights.new_zeros(1), _least_squares(gram[1:, 1:], cross[1:])])
            self.weights[lead] = weights
            made = (*f, torch.zeros_like(y), without @ f, weights @ f)
            self.errors[lead] = torch.stack([(forecast - y).square().mean() for forecast in made])

    def gain(self) -> float:
        """Return the share by which the first source lowers the error of the sum, the geometric mean over leads.

        NaN where no held-out forecast tells.
        """
        known = self.errors[self.errors[:, -1].isfinite(), -2:].double().clamp(min=ERROR_FLOOR)
        return 1 - float((known[:, 1] / known[:, 0]).log().mean().exp())

    def table(self) -> pd.DataFrame:
        """Return weights and errors of each lead, see `gridcast.CNMMForecaster.decisions_`."""
        errors = self.errors.double().cpu().numpy()
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


def _least_squares(gram: Tensor, cross: Tensor) -> Tensor:
    """Return the weights of least squares between 0 and `MOST_WEIGHT`, from sums of products."""
    values, vectors = torch.linalg.eigh(gram)
    root = values.clamp(min=0).sqrt()
    # sources that say the same, or nothing, leave directions of which the sums tell nothing
    right = torch.where(values > 1e-9 * values[-1], (vectors.T @ cross) / root.clamp(min=1e-150), 0.0)
    # a forecast that is to be mistrusted is not to be turned around, and one that says next to nothing not blown up
    bounded = lsq_linear((root * vectors).T.numpy(), right.numpy(), (0.0, MOST_WEIGHT))
    return gram.new_tensor(bounded.x)
