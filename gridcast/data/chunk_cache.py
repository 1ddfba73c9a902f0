"""Chunks of a lazy series that were read once and are needed again: kept on the local disk, as they lie in memory.

A fit reads its series several times, and a search once more for each candidate and fold. What is kept is each chunk of
the file, by the name that dask has for it, so that slices of an archive share its chunks. Training windows then read
their own steps alone, where a file gives whole chunks that have to be decompressed each time.
"""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import psutil
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from gridcast.data.read_errors import files_behind

# `dask.config.set({"gridcast.cache-bytes": 0})` turns it off; it is in dask's "temporary-directory"
SETTING, BYTES = "gridcast.cache-bytes", 8 * 2**30
MOST_OF_DISK = 0.5  # of what is free
ORIGINAL = "original-"  # how dask names the opened array that the chunks of a layer are read from


class ChunkCache:
    """Chunks in a folder that is deleted with the process.

    Parameters
    ----------
    n_bytes : int
        Of all that is kept; what comes later is read from its file.
    """

    def __init__(self, n_bytes: int) -> None:
        parent = Path(dask.config.get("temporary-directory", None) or tempfile.gettempdir())
        _remove_orphans(parent)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=parent))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.left = min(n_bytes, int(MOST_OF_DISK * shutil.disk_usage(self.folder).free))
        self.lock = threading.Lock()

    def read(self, name: str, compute: Callable[[], Any]) -> np.ndarray:
        """Return a chunk: what is kept under `name`, or what is computed now, and kept."""
        path = self.folder / f"{name}.npy"
        if path.exists():
            return np.load(path, mmap_mode="r")
        block = np.asarray(compute())
        with self.lock:
            kept = not block.dtype.hasobject and block.nbytes <= self.left
            self.left -= block.nbytes if kept else 0
        if kept:
            part = path.with_suffix(f".{threading.get_ident()}")
            try:
                with part.open("wb") as file:
                    np.save(file, block)
                os.replace(part, path)  # never half of a chunk
            except OSError:  # the disk is full, or the folder gone
                part.unlink(missing_ok=True)
        return block


@dataclass(frozen=True)
class _Chunk:
    """A task of a graph: the chunk `key` that other `tasks` make, under a `name` that tells the state of its file."""

    name: str
    tasks: dict[Any, Any]
    key: Any
    n_bytes: int

    def __call__(self) -> np.ndarray:
        # the cache is that of the process that reads, which may be a worker
        return _opened(self.n_bytes).read(self.name, lambda: dask.get(self.tasks, self.key))


_caches: dict[int, ChunkCache] = {}  # by process: one that was forked has one of its own
_lock = threading.Lock()  # several threads may be the first to read


def kept(values: Any) -> Any:
    """Return a dask array that reads each chunk of its files once; all else as it is.

    Parameters
    ----------
    values : numpy or dask array
        Made of what xarray or dask has opened from local files, sliced or computed on.
    """
    n_bytes = dask.config.get(SETTING, BYTES)
    if not isinstance(values, da.Array) or not n_bytes or not (files := files_behind(values)):
        return values
    state = _state(files)
    if state is None:
        return values
    layers, dependencies = dict(values.dask.layers), dict(values.dask.dependencies)
    for name, needed in values.dask.dependencies.items():
        if needed == {ORIGINAL + name}:
            original = dict(layers[ORIGINAL + name])
            chunks = {
                key: (_Chunk(_digest(key, state), {**original, key: task}, key, n_bytes),)
                for key, task in dict(layers[name]).items()
            }
            layers[name], dependencies[name] = MaterializedLayer(chunks), set()
    return da.Array(HighLevelGraph(layers, dependencies), values.name, values.chunks, meta=values)


def _prefix() -> str:
    # of this machine, since several may share a folder
    return f"gridcast-{platform.node()}-"


def _remove_orphans(parent: Path) -> None:
    """Remove the folders of processes that were killed."""
    for folder in parent.glob(f"{glob.escape(_prefix())}*"):
        pid = folder.name.removeprefix(_prefix()).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _opened(n_bytes: int) -> ChunkCache:
    with _lock:
        if os.getpid() not in _caches:
            _caches[os.getpid()] = ChunkCache(n_bytes)
        return _caches[os.getpid()]


def _state(files: list[str]) -> str | None:
    """Return what tells whether files have changed; None for those that are not on a local disk."""
    found = []
    for name in files:
        path = Path(name.removeprefix("file://"))
        if not path.exists():
            return None
        # a Zarr store is a folder of files
        entries = [path] if path.is_file() else [Path(top) / each for top, _, names in os.walk(path) for each in names]
        found += [(str(entry), entry.stat().st_mtime_ns, entry.stat().st_size) for entry in entries]
    return _digest(sorted(found))


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
