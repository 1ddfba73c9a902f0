"""The order of the gallery: ``plot_10_`` stands behind ``plot_9_``."""

import re
from pathlib import Path


class NumberSortKey:
    """Sort examples by the number in their names.

    Parameters
    ----------
    src_dir : str
        The folder of the examples.
    """

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str | Path) -> tuple[int, str]:
        name = Path(filename).name
        number = re.match(r"plot_(\d+)_", name)
        return (int(number[1]) if number else 0, name)

    def __repr__(self) -> str:
        # part of what sphinx-gallery keeps from one build to the next
        return "<NumberSortKey>"
