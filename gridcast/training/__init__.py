"""How a module is trained on windows of a series."""

from gridcast.training import callbacks

__all__ = ["callbacks"]
