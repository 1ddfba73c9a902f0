"""Warnings at the user's own line, however deep in the package they come up."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parents[1]) + os.sep


def warn(message: str) -> None:
    """Warn at the line that called the package."""
    frame, level, outermost = sys._getframe(1), 2, 2
    while frame.f_back is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            outermost = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=outermost)
