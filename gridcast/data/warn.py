"""Warnings at the user's own line, however deep in the package they come up."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import sklearn

# that of scikit-learn stands between: it wraps transformers, and its searches and pipelines call ours
PACKAGES = tuple(str(folder) + os.sep for folder in (Path(__file__).parents[1], Path(sklearn.__file__).parent))


def warn(message: str) -> None:
    """Warn at the line that called the package, be it by scikit-learn."""
    frame, level, outermost = sys._getframe(1), 2, 2
    while frame.f_back is not None:
        if frame.f_code.co_filename.startswith(PACKAGES):
            outermost = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=outermost)
