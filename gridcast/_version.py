"""The version of gridcast."""

__version__ = "0.1.0"
