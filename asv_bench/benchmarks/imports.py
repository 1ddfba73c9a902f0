class Import:
    """A fresh process: gridcast, and what it can not do without."""

    number = 1

    def timeraw_gridcast(self) -> str:
        return "import gridcast"

    def timeraw_xarray_and_sklearn(self) -> str:
        return "import xarray, sklearn"

    def timeraw_naive_forecast(self) -> str:
        return """
        import numpy as np
        import gridcast as gc
        gc.NaiveForecaster().fit(np.arange(24.0).reshape(6, 2, 2)).predict(3)
        """
