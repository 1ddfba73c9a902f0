"""Whether an estimator is fitted, and what its last fit complained about if not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.utils.validation import check_is_fitted


@contextmanager
def remembering_refusal(estimator: Any) -> Iterator[None]:
    """Keep the message of an error of `fit`, for whoever goes on without it, as in the next cell of a notebook."""
    try:
        yield
    except (TypeError, ValueError) as error:
        estimator._refusal = str(error)
        raise
    vars(estimator).pop("_refusal", None)


def check_fitted(estimator: Any) -> None:
    """Raise a NotFittedError unless `estimator` is fitted."""
    refusal = vars(estimator).get("_refusal")
    if refusal is None:
        check_is_fitted(estimator)
    else:
        # a % would be taken for a format
        text = refusal.replace("%", "%%")
        check_is_fitted(estimator, msg=f"%(name)s is not fitted, its last fit was refused: {text}")
