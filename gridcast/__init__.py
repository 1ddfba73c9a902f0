"""Forecasts of gridded time series with deep Markov models behind scikit-learn's estimator contract."""

import lazy_loader

# The public names stand in __init__.pyi; each is imported when it is first used, so that `import gridcast` is quick.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
