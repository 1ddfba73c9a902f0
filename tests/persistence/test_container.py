"""The file of named arrays, plain values and a text: whole whatever happens, and read without trust."""

import errno
import hashlib
import json
import os
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gridcast.persistence import container
from gridcast.persistence.container import ARRAYS, MOST_DOCUMENT, SUMS, TEXT, VALUES, read_file, write_file

CONTENT = {"class": "X", "list": [1, 2.5, None, True, "a"], "text": "\u00e4 \ud7ff"}
NUMBERS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "none": np.zeros((0, 3)),
    "scalar": np.array(3.5),
    "flags": np.array([True, False]),
    "big endian": np.array([1, 2], dtype=">i4"),
    "a view": np.arange(12.0).reshape(3, 4).T[::2],
}


def write(path, values=CONTENT, arrays=NUMBERS, text="# card"):
    write_file(path, values, arrays, text)
    return path


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, content, kind=zipfile.ZIP_STORED, sums=True):
    """Write a zip of these entries, a list of pairs or a mapping, with fitting sums."""
    content = dict(content)
    if sums:
        names = [name for name in (VALUES, ARRAYS, TEXT) if name in content]
        content[SUMS] = "".join(f"{hashlib.sha256(content[n]).hexdigest()}  {n}\n" for n in names).encode()
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name), data, kind)


def document(**changes):
    """Return the JSON of a file with changes; None takes a name away."""
    content = {"format": "gridcast", "version": 1, **CONTENT} | changes
    return json.dumps({name: value for name, value in content.items() if value is not None}).encode()


def test_what_is_written_is_read(tmp_path):
    values, arrays, text = read_file(write(tmp_path / "a.gridcast"))
    assert (values, text) == (CONTENT, "# card")
    assert arrays.keys() == NUMBERS.keys()
    for name, array in NUMBERS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=name != "big endian")
        assert arrays[name].flags.writeable


def test_the_same_content_gives_the_same_bytes(tmp_path):
    reordered = dict(reversed(NUMBERS.items()))
    assert write(tmp_path / "a").read_bytes() == write(tmp_path / "b", arrays=reordered).read_bytes()


def test_sums_are_as_sha256sum_reads_them_and_nothing_is_compressed(tmp_path):
    path = write(tmp_path / "a")
    content = entries(path)
    assert list(content) == [VALUES, ARRAYS, TEXT, SUMS]
    lines = dict(reversed(line.split("  ")) for line in content[SUMS].decode().splitlines())
    assert lines == {name: hashlib.sha256(content[name]).hexdigest() for name in (VALUES, ARRAYS, TEXT)}
    with zipfile.ZipFile(path) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = write(tmp_path / "a")
    before = path.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(container.os, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(path, values={"class": "Y"})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_goes_on_leading_to_the_file(tmp_path):
    target, link = write(tmp_path / "a"), tmp_path / "link"
    link.symlink_to(target)
    write(link, values={"class": "Y"})
    assert link.is_symlink()
    assert read_file(target)[0] == {"class": "Y"}


def test_a_file_has_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "other").write_text("")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "other", write(tmp_path / "a"))}
    assert len(modes) == 1


def test_a_file_that_is_written_over_keeps_its_mode(tmp_path):
    path = write(tmp_path / "a")
    path.chmod(0o640)
    write(path, values={"class": "Y"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_an_error_of_the_disk_names_the_folder(tmp_path, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(container.os, "fsync", full)
    with pytest.raises(OSError, match=rf"free space in the folder '{tmp_path}'.*{tmp_path}/a") as caught:
        write(tmp_path / "a")
    assert caught.value.errno == number
    assert not os.listdir(tmp_path)


def test_errors_of_writing_name_the_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path='.*its folder does not exist"):
        write(tmp_path / "missing" / "a")
    with pytest.raises(IsADirectoryError, match=r"path='.*is a folder"):
        write(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none")


def test_what_is_no_plain_file_is_neither_read_nor_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")):
        with pytest.raises(ValueError, match=f"is {what}.*give the name of a file"):
            read_file(path)
        if path != tmp_path:
            with pytest.raises(ValueError, match=f"is {what}.*give the name of a file"):
                write(path)
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize(
    "values",
    [{"x": "y" * MOST_DOCUMENT}, {"x" * 2000: 1}, {"x": json.loads("[" * 90 + "]" * 90)}],
    ids=["long", "name", "deep"],
)
def test_a_document_that_could_not_be_read_is_not_written(tmp_path, values):
    with pytest.raises(ValueError, match=r"model\.json can not be written: .*the most is|1024 characters"):
        write(tmp_path / "a", values=values)
    with pytest.raises(ValueError, match=r"README\.md would have \d+ bytes, the most is"):
        write(tmp_path / "a", text="y" * (container.MOST_BYTES[TEXT] + 1))
    assert not os.listdir(tmp_path)


def patched(data, name, at, value, kind="<I"):
    """Return a zip with one field of the directory entry of `name` changed."""
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode()))
    return data[: place + at] + struct.pack(kind, value) + data[place + at + struct.calcsize(kind) :]


SIZES, FLAGS = (20, 24), 8  # of the compressed and the plain entry, in a directory entry


def inflate(data):
    for at in SIZES:
        data = patched(data, ARRAYS, at, 2**31)
    return data


def safetensors(header, data=b"\0" * 8):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(text)) + text + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

BYTES = {
    "empty": (lambda data: b"", "is empty"),
    "foreign": (lambda data: b"\x89HDF\r\n" + data, "is not a file that a forecaster's save wrote"),
    "pickle": (lambda data: b"\x80\x04cos\nsystem\n", "is not a file that"),
    "half": (lambda data: data[: len(data) // 2], "is truncated or damaged"),
    "last byte": (lambda data: data[:-1], "is truncated or damaged"),
    "a weight": (
        lambda data: data.replace(struct.pack("<f", 5.0), struct.pack("<f", 6.0), 1),
        "arrays.safetensors can not be read .*CRC",
    ),
    "bomb": (inflate, r"declares 2147483648 bytes for 'arrays.safetensors', the most is"),
    "two sizes": (lambda data: patched(data, TEXT, SIZES[1], 7), "declares 7 bytes for 'README.md', and 6"),
    "encrypted": (lambda data: patched(data, TEXT, FLAGS, 1, "<H"), "has the encrypted entry 'README.md'"),
    "other place": (lambda data: patched(data, TEXT, 42, 0), "README.md can not be read"),
}

ENTRIES = {
    "parent": (lambda c: c | {"../evil": b""}, r"has the entry '\.\./evil', which points out of it"),
    "windows parent": (lambda c: c | {"a\\..\\..\\evil": b""}, "which points out of it"),
    "absolute": (lambda c: c | {"/etc/evil": b""}, "has the entry '/etc/evil', which points out"),
    "drive": (lambda c: c | {"C:evil": b""}, "has the entry 'C:evil', which points out"),
    "surplus": (lambda c: c | {"weights.pkl": b""}, r"has unexpected entries: \['weights.pkl'\]"),
    "no arrays": (lambda c: {k: v for k, v in c.items() if k != ARRAYS}, r"lacks the entries \['arrays.safetensors'\]"),
    "no document": (lambda c: {k: v for k, v in c.items() if k != VALUES}, "is a zip without model.json"),
    "no JSON": (lambda c: c | {VALUES: b"{'format'"}, "model.json is no valid JSON"),
    "no text": (lambda c: c | {VALUES: b"\xff\xfe"}, "model.json is no valid JSON"),
    "NaN": (lambda c: c | {VALUES: document(text=float("nan"))}, "it holds NaN, which is no number"),
    "1e999": (
        lambda c: c | {VALUES: document(text="X").replace(b'"X"', b"1e999", 2)},
        "the number 1e999 is not finite",
    ),
    "twice": (lambda c: c | {VALUES: b'{"format": "a", "format": "gridcast"}'}, "a name stands twice"),
    "deep": (lambda c: c | {VALUES: b"[" * 200_000}, "model.json is no valid JSON"),
    "closed and deep": (lambda c: c | {VALUES: b"[" * 99 + b"]" * 99}, "it is 99 levels deep, the most is 64"),
    "many": (lambda c: c | {VALUES: b"[" + b"[]," * 2**20 + b"1]"}, r"it has \d+ values, the most is 1048576"),
    "open text": (lambda c: c | {VALUES: b'["' + b'\\"' * 10**6}, "model.json is no valid JSON"),
    "long name": (lambda c: c | {VALUES: document(**{"x" * 2000: 1})}, "a name has more than 1024 characters"),
    "long version": (lambda c: c | {VALUES: document(version="x" * 10**5)}, "has the format version 'xx"),
    "many headers": (
        lambda c: c | {ARRAYS: safetensors(b"{" + b" " * 2**22 + b"}")},
        "a header of 4194306 bytes, the most is 4194304",
    ),
    "a list": (lambda c: c | {VALUES: b"[1]"}, "is of another program"),
    "other format": (lambda c: c | {VALUES: document(format="keras")}, "is of another program"),
    "no version": (lambda c: c | {VALUES: document(version=None)}, "has the format version None, which is none"),
    "version text": (lambda c: c | {VALUES: document(version="1")}, "has the format version '1', which is none"),
    "newer": (lambda c: c | {VALUES: document(version=2)}, "has format version 2, this gridcast reads up to 1: update"),
    "newer, other entries": (lambda c: {VALUES: document(version=9), "weights": b""}, "has format version 9"),
    "no safetensors": (lambda c: c | {ARRAYS: b"hello"}, "arrays.safetensors can not be read"),
    "offsets": (lambda c: c | {ARRAYS: safetensors({"a": F32 | {"data_offsets": [0, 800]}})}, "can not be read"),
    "negative shape": (lambda c: c | {ARRAYS: safetensors({"a": F32 | {"shape": [-2]}})}, "can not be read"),
    "infinite shape": (
        lambda c: c | {ARRAYS: safetensors(b'{"a":{"dtype":"F32","shape":[1e999]}}')},
        "can not be read",
    ),
    "huge shape": (lambda c: c | {ARRAYS: safetensors({"a": F32 | {"shape": [2**62, 4]}})}, "can not be read"),
    "huge header": (lambda c: c | {ARRAYS: struct.pack("<Q", 2**62) + b"{}"}, "can not be read"),
    "overlap": (lambda c: c | {ARRAYS: safetensors({"a": F32, "b": F32})}, "can not be read"),
    "dtype": (lambda c: c | {ARRAYS: safetensors({"a": F32 | {"dtype": "O8"}})}, "can not be read"),
}


@pytest.mark.parametrize("case", BYTES)
def test_a_damaged_or_hostile_file_is_refused(tmp_path, case):
    change, message = BYTES[case]
    path = write(tmp_path / "a.gridcast")
    data = path.read_bytes()
    path.write_bytes(change(data))
    assert path.read_bytes() != data
    with pytest.raises(ValueError, match=r"path='.*a.gridcast'.*" + message):
        read_file(path)


@pytest.mark.parametrize("case", ENTRIES)
def test_a_file_with_wrong_entries_is_refused(tmp_path, case):
    change, message = ENTRIES[case]
    path = write(tmp_path / "a.gridcast")
    rewrite(path, change(entries(path)))
    with pytest.raises(ValueError, match=r"path='.*a.gridcast'.*" + message) as caught:
        read_file(path)
    assert len(str(caught.value)) < 2000


def test_compressed_entries_are_refused(tmp_path):
    path = write(tmp_path / "a")
    rewrite(path, entries(path) | {TEXT: b"\0" * 10**6}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"has the compressed entry 'model\.json'"):
        read_file(path)


@pytest.mark.parametrize("name", [VALUES, ARRAYS, TEXT])
def test_an_entry_that_was_changed_is_refused(tmp_path, name):
    path = write(tmp_path / "a")
    content = entries(path)
    content[name] = content[name].replace(b"a", b"b") if name != VALUES else document(list=[])
    rewrite(path, content, sums=False)
    with pytest.raises(ValueError, match=f"the SHA-256 sum of {name} is not that in SHA256SUMS"):
        read_file(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_stands_twice_is_refused(tmp_path):
    path = write(tmp_path / "a")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(VALUES, document(version=1))
    with pytest.raises(ValueError, match="has an entry twice"):
        read_file(path)


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    path = write(tmp_path / "a", text="x" * 3000)
    data = path.read_bytes()
    place = data.index(b"README.md") - 30
    header = bytearray(data[data.rindex(b"PK\x01\x02", 0, data.rindex(b"README.md")) :][: 46 + 9])
    header[42:46] = struct.pack("<I", place)
    end = data.rindex(b"PK\x05\x06")
    copies = b"".join(bytes(header[:-9]) + f"READM{i:04d}".encode() for i in range(3))
    tail = bytearray(data[end:])
    n, size = struct.unpack("<H", tail[10:12])[0] + 3, struct.unpack("<I", tail[12:16])[0] + len(copies)
    tail[8:16] = struct.pack("<HHI", n, n, size)
    path.write_bytes(data[:end] + copies + bytes(tail))
    with pytest.raises(ValueError, match=r"declares \d+ bytes in all, but has \d+|Overlapped"):
        read_file(path)


def test_no_more_is_read_than_the_limits_allow(tmp_path, monkeypatch):
    path = write(tmp_path / "a", text="x" * 1000)
    monkeypatch.setitem(container.MOST_BYTES, TEXT, 999)
    with pytest.raises(ValueError, match=r"declares 1000 bytes for 'README\.md', the most is 999"):
        read_file(path)
