"""The estimator family: one signature, one behaviour."""

import lazy_loader

# The classes stand in __init__.pyi; torch is imported with the first one that needs it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
