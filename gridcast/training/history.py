"""The record of a training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

__all__ = ["History"]

_MOST_ROWS = 20


class History(list[dict[str, float]]):
    """One record an epoch; a list that notebooks show as a table.

    Parameters
    ----------
    records : iterable of dict
    start_error : float or None
        Validation error before the first epoch: that of the persistence or the linear model that training starts from.
        A saved forecaster does not keep it.
    stopped_early : bool
        Whether it ended because held-out forecasts gained nothing by it; not kept either.

    Examples
    --------
    >>> history = History([{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": 0.25}])
    >>> history[-1]["loss"], history.to_dataframe().loc[0, "loss"]
    (0.25, np.float64(0.5))
    """

    def __init__(
        self,
        records: Iterable[dict[str, float]] = (),
        start_error: float | None = None,
        *,
        stopped_early: bool = False,
    ) -> None:
        super().__init__(records)
        self.start_error, self.stopped_early = start_error, stopped_early

    def to_dataframe(self) -> pd.DataFrame:
        """Return the records as a table with the epoch as its index.

        Returns
        -------
        DataFrame
        """
        table = pd.DataFrame(list(self))
        return table.set_index("epoch") if "epoch" in table else table

    def _repr_html_(self) -> str:
        table = self.to_dataframe()
        formats: dict[str, Any] = {"float_format": "{:.4g}".format, "border": 0, "na_rep": ""}
        start = "" if self.start_error is None else f", validation_error {self.start_error:.4g} before the first"
        return f"<p>{len(self)} epochs{start}</p>{table.to_html(max_rows=_MOST_ROWS, **formats)}"
