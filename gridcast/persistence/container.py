"""One file of named arrays, plain values and a text, written so that it is always whole and read so that it is safe."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors.numpy import load as arrays_from_bytes
from safetensors.numpy import save as bytes_from_arrays

from gridcast.persistence.atomic import replacing
from gridcast.persistence.document import MOST_BYTES as MOST_DOCUMENT
from gridcast.persistence.document import read_document, write_document
from gridcast.persistence.refusal import check_plain, refusing, shorten

FORMAT, VERSION = "gridcast", 1  # raise the version when older readers would misread a file
# names that people and their tools know
VALUES, ARRAYS, TEXT, SUMS = "model.json", "arrays.safetensors", "README.md", "SHA256SUMS"
ENTRIES = (VALUES, ARRAYS, TEXT, SUMS)  # in the order in which they are written
MOST_BYTES = {VALUES: MOST_DOCUMENT, TEXT: 2**24, SUMS: 2**12}  # arrays may have any size
MOST_HEADER = 2**22  # bytes of the names and shapes of arrays, of which a large model has a few thousand
BEGINNING_OF_TIME = (1980, 1, 1, 0, 0, 0)  # of zip; the same model gives the same bytes
ENCRYPTED = 1  # bit 0 of a zip entry's flags

PathLike = str | os.PathLike[str]


def write_file(path: PathLike, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], text: str) -> None:
    """Write a file; one that stands there is replaced at the end, all at once.

    The file is a zip of uncompressed entries: ``model.json`` (format, version, `values`), ``arrays.safetensors``,
    ``README.md`` (`text`) and ``SHA256SUMS`` of these, as ``sha256sum --check`` reads it. The same content gives the
    same bytes.

    Parameters
    ----------
    path : str or path
    values : mapping
        What JSON can hold; floats must be finite.
    arrays : mapping of str to ndarray
        Booleans, integers and floats of at most 64 bits.
    text : str
        For people.

    Raises
    ------
    ValueError
        If the values are too many for a document that can be read, see `gridcast.persistence.document`, or `path` is
        a device or a pipe.
    FileNotFoundError, IsADirectoryError
        If the folder does not exist, or `path` is one.
    OSError
        If the folder can not be written, or the disk is full; the message names the folder.
    """
    target = Path(os.path.realpath(path))  # through a link
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path={os.fspath(path)!r}: its folder does not exist, make it first")
    if target.is_dir():
        raise IsADirectoryError(f"path={os.fspath(path)!r} is a folder: give the name of a file")
    check_plain(path)
    try:
        document = write_document({"format": FORMAT, "version": VERSION, **values})
    except ValueError as error:
        raise ValueError(f"{VALUES} can not be written: {error}; drop long text labels, X.drop_vars(name)") from error
    content = {
        VALUES: document,
        ARRAYS: bytes_from_arrays({name: _little_endian(array) for name, array in arrays.items()}),
        TEXT: text.encode(),
    }
    # of the entries before it: sums can not hold their own
    content[SUMS] = "".join(f"{_sha256(data)}  {name}\n" for name, data in content.items()).encode()
    for name, most in MOST_BYTES.items():
        if len(content[name]) > most:
            raise ValueError(f"{name} would have {len(content[name])} bytes, the most is {most}: drop long text labels")
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in ENTRIES:
            # stored, not compressed: nothing can unpack to more than the file
            archive.writestr(zipfile.ZipInfo(name, BEGINNING_OF_TIME), content[name])


def read_file(path: PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray], str]:
    """Read a file of `write_file`.

    No code runs that the file brings, and no more is read than the file has bytes; the size of the document is known
    before it is parsed. The sums tell damage, not who wrote a file.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    values : dict
    arrays : dict of str to ndarray
    text : str

    Raises
    ------
    ValueError
        If the file is not one of gridcast, of a newer format, damaged, or made to do harm; if `path` is a folder, a
        device or a pipe.
    FileNotFoundError
        If there is none.
    """
    check_plain(path)
    with open(path, "rb") as file, refusing(path, "is truncated or damaged"):
        n_bytes = os.fstat(file.fileno()).st_size
        start = file.read(4)
        if not start:
            _refuse(path, "is empty")
        if start != b"PK\x03\x04":  # the first bytes of a zip with entries
            _refuse(path, "is not a file that a forecaster's save wrote")
        with zipfile.ZipFile(file) as archive:
            entries = _check_entries(path, archive.infolist(), n_bytes)
            # the version first: a newer file may have other entries
            values = _values(path, _read_entry(path, archive, entries[VALUES]))
            _check_names(path, entries)
            content = {name: _read_entry(path, archive, entries[name]) for name in ENTRIES}
        _check_sums(path, content)
        return values, _arrays(path, content[ARRAYS]), content[TEXT].decode(errors="replace")


def _refuse(path: PathLike, problem: str) -> NoReturn:
    raise ValueError(f"path={shorten(os.fspath(path))!r} {problem}")


def _check_entries(path: PathLike, infos: list[zipfile.ZipInfo], n_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name, none of which unpacks to more than is there."""
    for info in infos:
        name = info.filename
        # nothing is unpacked to disk, but a file that tries is not ours
        if name.startswith(("/", "\\")) or ":" in name or ".." in name.replace("\\", "/").split("/"):
            _refuse(path, f"has the entry {name!r}, which points out of it")
        if info.flag_bits & ENCRYPTED:
            _refuse(path, f"has the encrypted entry {name!r}")
        if info.compress_type != zipfile.ZIP_STORED:
            _refuse(path, f"has the compressed entry {name!r}: gridcast compresses nothing")
        if info.file_size != info.compress_size:
            _refuse(path, f"declares {info.file_size} bytes for {name!r}, and {info.compress_size} for the same stored")
        if info.file_size > MOST_BYTES.get(name, n_bytes):
            _refuse(path, f"declares {info.file_size} bytes for {name!r}, the most is {MOST_BYTES.get(name, n_bytes)}")
    entries = {info.filename: info for info in infos}
    if len(entries) < len(infos):
        _refuse(path, "has an entry twice")
    if (declared := sum(info.file_size for info in infos)) > n_bytes:
        _refuse(path, f"declares {declared} bytes in all, but has {n_bytes}")
    if VALUES not in entries:
        _refuse(path, f"is a zip without {VALUES}: no file that a forecaster's save wrote")
    return entries


def _check_names(path: PathLike, entries: Mapping[str, zipfile.ZipInfo]) -> None:
    if surplus := sorted(set(entries) - set(ENTRIES)):
        _refuse(path, f"has unexpected entries: {surplus}")
    if lacking := sorted(set(ENTRIES) - set(entries)):
        _refuse(path, f"lacks the entries {lacking}")


def _read_entry(path: PathLike, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with refusing(path, f"is damaged: {info.filename} can not be read"), archive.open(info) as entry:
        data = entry.read(info.file_size + 1)  # one more, to see that it ends there
    if len(data) != info.file_size:
        _refuse(path, f"is damaged: {info.filename} has {len(data)} bytes, not the declared {info.file_size}")
    return data


def _values(path: PathLike, data: bytes) -> dict[str, Any]:
    """Parse the JSON document, of this format and a version that is known."""
    with refusing(path, f"is damaged: {VALUES} is no valid JSON"):
        document = read_document(data)
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        _refuse(path, f"is of another program: its {VALUES} does not say format={FORMAT!r}")
    version = document.pop("version", None)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        _refuse(path, f"has the format version {version!r}, which is none")
    if version > VERSION:
        _refuse(path, f"has format version {version}, this gridcast reads up to {VERSION}: update gridcast")
    return document


def _check_sums(path: PathLike, content: Mapping[str, bytes]) -> None:
    lines = [line.partition("  ") for line in content[SUMS].decode(errors="replace").splitlines()]
    sums = {name: digest for digest, _, name in lines}
    for name in ENTRIES:
        if name != SUMS and sums.get(name) != _sha256(content[name]):
            _refuse(path, f"is damaged or was changed: the SHA-256 sum of {name} is not that in {SUMS}")


def _arrays(path: PathLike, data: bytes) -> dict[str, np.ndarray]:
    with refusing(path, f"is damaged: {ARRAYS} can not be read"):
        # its reader would make objects of names and shapes without end
        if (n_header := int.from_bytes(data[:8], "little")) > MOST_HEADER:
            raise ValueError(f"a header of {n_header} bytes, the most is {MOST_HEADER}")
        return {name: array.copy() for name, array in arrays_from_bytes(data).items()}  # writable, whatever came


def _little_endian(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")  # safetensors stores bytes as they lie


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
