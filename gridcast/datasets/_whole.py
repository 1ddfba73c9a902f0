"""Whether a netCDF file is as long as its header says."""

import os

from scipy.io import netcdf_file

_CLASSIC = (b"CDF\x01", b"CDF\x02")  # how files in netCDF's classic format begin


def check_whole(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError for a file in netCDF's classic format that ends before its last value.

    The netCDF library reads zeros there. Files in the format of HDF5 say themselves that they are cut.
    """
    with open(path, "rb") as file:
        if file.read(4) not in _CLASSIC:
            return
    try:
        # maps every variable, without reading it
        netcdf_file(path, mmap=True).close()
    except (IndexError, OSError, TypeError, ValueError) as error:
        n_bytes = os.path.getsize(path)
        raise ValueError(f"it ends after {n_bytes} bytes, before the last value that its header states") from error
