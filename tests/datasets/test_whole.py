"""A netCDF file that was cut is told from a whole one, by the length that its header promises."""

import os
import struct

import netCDF4
import numpy as np
import pytest
from scipy.io import netcdf_file

from gridcast.datasets._whole import check_whole

FORMATS = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")


def write(path, file_format, types, n_records):
    """Write attributes, fixed variables and ones along a dimension of records, the last in the file nonzero."""
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        file.title, file.version, file.bounds = "odd", np.int16(3), np.array([1.5, 2.5])
        for name, size in (("time", None), ("lat", 3), ("lon", 5)):
            file.createDimension(name, size)
        for kind in types:
            fixed = file.createVariable(f"fixed_{kind}", kind, ("lat", "lon"), fill_value=9)
            fixed.units = "mm"
            fixed[:] = 1
            moving = file.createVariable(f"moving_{kind}", kind, ("time", "lat"))
            if n_records:
                moving[:] = np.ones((n_records, 3))
        file.createVariable("scalar", "f8", ())[:] = 1.0
    return path.read_bytes()


def is_whole(path):
    try:
        check_whole(path)
    except ValueError as error:
        assert "before the last value" in str(error)  # noqa: PT017
        return False
    return True


def scipy_opens(path):
    try:
        netcdf_file(path, mmap=True).close()
    except (IndexError, OSError, TypeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("n_records", [0, 1, 4])
@pytest.mark.parametrize("types", [("i1",), ("i2", "f4"), ("f8", "i1", "i4")])
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_cut_of_a_file_is_told(tmp_path, file_format, types, n_records):
    path = tmp_path / "file.nc"
    whole = write(path, file_format, types, n_records)
    assert is_whole(path)
    for n in (*range(len(whole) - 1, len(whole) - 12, -1), *range(len(whole) - 12, 4, -37)):
        os.truncate(path, n)
        if file_format != "NETCDF3_64BIT_DATA":
            assert is_whole(path) == scipy_opens(path)
        assert not is_whole(path) or n >= len(whole) - 3  # the last bytes may be padding


def test_counts_of_64_bits(tmp_path):
    path = tmp_path / "file.nc"
    whole = write(path, "NETCDF3_64BIT_DATA", ("u8", "i8", "u4", "u2", "u1"), 2)
    assert whole[:4] == b"CDF\x05"
    assert is_whole(path)
    path.write_bytes(whole[:-8])
    assert not is_whole(path)
    lat = b"lat\0" + struct.pack(">Q", 3)
    assert lat in whole
    path.write_bytes(whole.replace(lat, b"lat\0" + struct.pack(">Q", 2**40)))  # far more than the file has
    assert not is_whole(path)


@pytest.mark.parametrize("content", [b"", b"CDF", b"CDF\x03" + bytes(50), b"\x89HDF\r\n\x1a\n", b"text, no netCDF"])
def test_other_files_are_left_to_the_library(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert is_whole(tmp_path / "file")


@pytest.mark.parametrize("version", [1, 2, 5])
def test_a_header_without_sense_is_not_whole_and_one_without_variables_is(tmp_path, version):
    draw = np.random.default_rng(version)
    senseless = (draw.bytes(500), b"\xff" * 500, draw.integers(0, 3, 500, np.uint8).tobytes())
    for fill, whole in [*((fill, False) for fill in senseless), (bytes(500), True)]:
        (tmp_path / "file").write_bytes(b"CDF" + bytes([version]) + fill)
        assert is_whole(tmp_path / "file") is whole
