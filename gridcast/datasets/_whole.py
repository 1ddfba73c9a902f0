"""Whether a netCDF file is as long as its header says."""

from __future__ import annotations

import math
import os
import struct
from typing import BinaryIO

# By the version in the magic number: of CDF-1, CDF-2 and CDF-5, the struct codes of counts and of places in the file
_WORDS = {1: ("I", "I"), 2: ("I", "Q"), 5: ("Q", "Q")}
_TYPE_BYTES = dict(enumerate((1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8), start=1))  # NC_BYTE, NC_CHAR, ..., NC_UINT64


def check_whole(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError for a file in netCDF's classic formats that ends before its last value.

    The netCDF library reads zeros there. Files in the format of HDF5 say themselves that they are cut.
    """
    n_bytes = os.path.getsize(path)
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic[:3] != b"CDF" or magic[3:] == b"" or magic[3] not in _WORDS:
            return
        try:
            whole = _Header(file, n_bytes, *_WORDS[magic[3]]).least_bytes() <= n_bytes
        except (EOFError, KeyError, IndexError):  # within the header, or one that says nothing sensible
            whole = False
    if not whole:
        raise ValueError(f"it ends after {n_bytes} bytes, before the last value that its header states")


class _Header:
    """Reads a header as the NetCDF Classic Format Specification has it, from behind the magic number."""

    def __init__(self, file: BinaryIO, n_bytes: int, count: str, place: str) -> None:
        self.file, self.n_bytes, self.count, self.place = file, n_bytes, count, place

    def least_bytes(self) -> int:
        """Return the bytes up to the end of the last value."""
        n_records = self._number(self.count)
        if n_records == 2 ** (8 * struct.calcsize(self.count)) - 1:  # still being written: as many as there are
            n_records = 0
        sizes = [self._dimension() for _ in range(self._n_listed())]
        self._skip_attributes()
        variables = [self._variable(sizes) for _ in range(self._n_listed())]
        ends = [begin + n for begin, n, is_record in variables if not is_record]
        records = [(begin, n) for begin, n, is_record in variables if is_record]
        # a lone variable is not padded
        step = sum(_padded(n) for _, n in records) if len(records) > 1 else sum(n for _, n in records)
        if n_records:
            ends += [begin + (n_records - 1) * step + n for begin, n in records]
        return max(ends, default=0)

    def _variable(self, sizes: list[int]) -> tuple[int, int, bool]:
        """Return where a variable begins, its bytes, of one record where it has records, and whether it has."""
        self._skip_text()
        shape = [sizes[self._number(self.count)] for _ in range(self._number(self.count))]
        self._skip_attributes()
        item = _TYPE_BYTES[self._number("I")]
        self._number(self.count)  # its size, which large ones overflow
        is_record = bool(shape) and shape[0] == 0  # the length of the dimension of records
        return self._number(self.place), item * math.prod(shape[is_record:]), is_record

    def _dimension(self) -> int:
        self._skip_text()
        return self._number(self.count)

    def _skip_attributes(self) -> None:
        for _ in range(self._n_listed()):
            self._skip_text()
            item = _TYPE_BYTES[self._number("I")]
            self._skip(item * self._number(self.count))

    def _n_listed(self) -> int:
        self._number("I")  # what is listed
        return self._number(self.count)

    def _skip_text(self) -> None:
        self._skip(self._number(self.count))

    def _skip(self, n: int) -> None:
        if self.file.seek(min(_padded(n), self.n_bytes), os.SEEK_CUR) > self.n_bytes:
            raise EOFError

    def _number(self, code: str) -> int:
        data = self.file.read(struct.calcsize(f">{code}"))
        if len(data) < struct.calcsize(f">{code}"):
            raise EOFError
        number: int = struct.unpack(f">{code}", data)[0]
        return number


def _padded(n: int) -> int:
    return -(-n // 4) * 4
