import xarray as xr

import gridcast as gc

N_TIMES = 730
SHAPE = (72, 144)
CHUNK = 73


def precipitation() -> xr.DataArray:
    """Ten years of pentads on the global 2.5 degree grid."""
    return gc.datasets.make_precipitation(n_times=N_TIMES, shape=SHAPE, random_state=0)
