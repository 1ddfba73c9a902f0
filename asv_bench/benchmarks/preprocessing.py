import xarray as xr

import gridcast as gc

from . import CHUNK, precipitation


class MinMax:
    def setup_cache(self) -> xr.DataArray:
        return precipitation()

    def setup(self, series: xr.DataArray) -> None:
        self.series = series
        self.transformer = gc.MinMaxTransformer().fit(series)
        self.transformed = self.transformer.transform(series)

    def time_fit(self, series: xr.DataArray) -> None:
        gc.MinMaxTransformer().fit(self.series)

    def time_transform(self, series: xr.DataArray) -> None:
        self.transformer.transform(self.series).compute()

    def time_inverse_transform(self, series: xr.DataArray) -> None:
        self.transformer.inverse_transform(self.transformed).compute()

    def peakmem_fit(self, series: xr.DataArray) -> None:
        gc.MinMaxTransformer().fit(self.series)


class MinMaxDask(MinMax):
    def setup(self, series: xr.DataArray) -> None:
        super().setup(series.chunk(time=CHUNK))


class Anomaly(MinMax):
    def setup(self, series: xr.DataArray) -> None:
        self.series = series
        self.transformer = gc.Anomaly().fit(series)
        self.transformed = self.transformer.transform(series)

    def time_fit(self, series: xr.DataArray) -> None:
        gc.Anomaly().fit(self.series)

    def peakmem_fit(self, series: xr.DataArray) -> None:
        gc.Anomaly().fit(self.series)


class AnomalyDask(Anomaly):
    def setup(self, series: xr.DataArray) -> None:
        super().setup(series.chunk(time=CHUNK))
