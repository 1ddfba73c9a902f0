"""Where and how a module runs: device, precision, random numbers, memory, compilation."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from gridcast.data.warn import warn

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_fabric_log = logging.getLogger("lightning_fabric.utilities.rank_zero")
BF16 = ("avx512_bf16", "amx_bf16")  # products of 16 bits, of x86 processors; those of others are not known to be fast
MMAP_THRESHOLD_BYTES, NEVER = 2**30, -1  # below a GiB malloc reuses what was freed


def make_fabric(device: str, precision: str) -> Fabric:
    """Return the engine that places modules and batches; of all processes together where ``torchrun`` started them.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
    precision : str
        Fabric's: ``"32"``, ``"bf16-mixed"``, ...; or ``"auto"``, see `_auto_precision`.

    Raises
    ------
    ValueError
        If the device or the precision is unknown or not there.
    """
    kind, _, index = str(device).partition(":")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if (kind != "auto" and not available.get(kind, False)) or (index and not index.isdecimal()):
        there = [name for name, present in available.items() if present]
        raise ValueError(f'device={device!r} is unknown or not available: use "auto" or one of {there}')
    # "auto" of Fabric takes all GPUs, here one is meant
    accelerator = next((k for k in ("cuda", "mps") if available[k]), "cpu") if kind == "auto" else kind
    devices: int | list[int] = [int(index)] if index and accelerator != "cpu" else 1
    n_nodes, strategy, together = 1, "auto", int(os.environ.get("WORLD_SIZE", 1))
    if together > 1:  # started by torchrun
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", together))  # of this machine
        n_nodes, strategy = together // devices, "ddp_find_unused_parameters_true"  # stages
    try:
        with _quiet():
            fabric = Fabric(
                accelerator=accelerator,
                devices=devices,
                num_nodes=n_nodes,
                precision=_auto_precision(accelerator) if precision == "auto" else precision,  # type: ignore[arg-type]
                strategy=strategy,
            )
        # joins the group of processes; does nothing for one
        fabric.launch()
        return fabric
    except (ValueError, TypeError) as error:
        raise ValueError(f"precision={precision!r} is not known here: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Fabric from writing what precision it takes, at every fit; its warnings are shown."""
    level = _fabric_log.level
    _fabric_log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        _fabric_log.setLevel(level)


def _auto_precision(accelerator: str) -> str:
    """Return 16 bits where a device multiplies them much faster than 32, as it is made for."""
    if accelerator == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.cpu.get_capabilities() if accelerator == "cpu" else {}
        fast = any(known.get(name) for name in BF16)
    return "bf16-mixed" if fast else "32"


_drawing = threading.RLock()  # again in one thread: a callback may forecast while its model trains


def _forget_the_lock() -> None:
    global _drawing
    # whoever held it is not in the forked process; a new one, since the forking thread may still let go of its own
    _drawing = threading.RLock()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget_the_lock)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside, and leave the global state as it was.

    One thread at a time: torch's generator and Pyro's handlers belong to the whole process. Others wait here.
    """
    # a GPU that is not in use has no state to keep
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with _drawing, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def draw_apart(seed: int, process: int, step: int) -> None:
    """Give a process that trains with others torch random numbers of its own; the first keeps those it has.

    They depend on nothing but the arguments, so that a training that goes on from a checkpoint, which the first process
    wrote, draws what it would have drawn.
    """
    if process:  # the first one draws from the state that checkpoints hold
        torch.manual_seed(int(np.random.SeedSequence((seed, process, step)).generate_state(1, np.uint64)[0] >> 1))


@functools.cache
def keep_freed_memory() -> None:
    """Tell glibc to keep large freed buffers for the next step; fresh ones cost page faults at every first touch.

    It holds for the process from then on: memory that was once in use stays with it until `give_back_memory`. Elsewhere
    it does nothing.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def give_back_memory() -> None:
    """Give memory that was freed back to the system, between the parts of a fit: each needs other buffers."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    if sys.platform != "linux":  # macOS and Windows have another allocator
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None  # musl has neither mallopt nor malloc_trim


def place(module: nn.Module, fabric: Fabric) -> nn.Module:
    """Move a module to the engine's device."""
    return module.to(device=fabric.device)


@contextmanager
def compiled(module: nn.Module, wanted: bool) -> Iterator[None]:
    """Run the parts of `module` through ``torch.compile`` inside, and as they were outside.

    The parts are its direct children: convolutions and what stands between them are fused, the loops over time and the
    Pyro programs stay Python. Shapes other than the first compile again.

    Warns
    -----
    UserWarning
        If nothing can be compiled here, for instance without a C++ compiler; the module then runs as it is.
    """
    parts = [part for part in module.children() if wanted]
    if parts and not _can_compile():
        parts = []
    for part in parts:
        part.compile()
    try:
        yield
    finally:
        for part in parts:
            # what `Module.compile` sets; a compiled call can not be pickled
            part._compiled_call_impl = None


def _can_compile() -> bool:
    """Compile something small, since the parts would fail in the middle of the training."""
    try:
        torch.compile(torch.exp)(torch.zeros(2))
    except Exception as error:  # whatever the compiler's stack raises
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        warn(
            f"compile=True has no effect: torch.compile failed here ({type(error).__name__}: {first}); the model "
            "trains without it. It needs a C++ compiler on the path (on GPUs Triton); compile=False is silent",
        )
        return False
    return True
