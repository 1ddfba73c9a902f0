"""Whether a state that was read is one of the training that is to go on from it."""

from __future__ import annotations

from typing import Any

import torch

from gridcast.training.muon import BUFFER

NUMBERS = (int, float)


def misfit(state: dict[str, Any], fresh: dict[str, Any], parameters: list[torch.Tensor], n_batches: int) -> str | None:
    """Return how a state differs in its structure from that of the same training at its start, None where it does not.

    Parameters
    ----------
    state, fresh : dict
        As the training loop writes them.
    parameters : list of Tensor
        What is trained.
    n_batches : int
        In an epoch.
    """
    # another number of GPUs may go on with it
    example = fresh | {"random": fresh["random"] | {"cuda": []}}
    return (
        _misfit(state, example)
        or _misfit_of_progress(state["progress"], n_batches)
        or _misfit_of_moments(state["moments"], parameters)
        or _misfit_of_moments(state["good"][1], parameters)
    )


def _misfit(state: Any, example: Any, where: str = "state") -> str | None:
    """Return how a state differs in its structure from one that was just made, None where it does not.

    Dictionaries have the same names, lists the same length, tensors the same shape and type. What is empty at the start
    of a training, or None, may have been filled.
    """
    if isinstance(example, torch.Tensor):
        if not isinstance(state, torch.Tensor):
            return f"{where} is a {type(state).__name__}, not a tensor"
        if state.shape != example.shape or state.dtype != example.dtype:
            return f"{where} is {tuple(state.shape)} of {state.dtype}, not {tuple(example.shape)} of {example.dtype}"
        return None
    if example is None:
        return None if state is None or _is_number(state) else f"{where} is a {type(state).__name__}, not a number"
    if isinstance(example, float | int) and not isinstance(example, bool):
        return None if _is_number(state) else f"{where} is a {type(state).__name__}, not a number"
    if not isinstance(state, dict if isinstance(example, dict) else type(example)):
        return f"{where} is a {type(state).__name__}, not a {type(example).__name__}"
    if not example:
        return None
    if isinstance(example, dict):
        if differing := sorted(map(str, set(state) ^ set(example))):
            return f"{where} differs in {differing[:3]}"
        pairs = [(name, state[name], example[name]) for name in example]
    elif isinstance(example, list | tuple):
        if len(state) != len(example):
            return f"{where} has {len(state)} entries, not {len(example)}"
        pairs = list(zip(range(len(example)), state, example, strict=True))
    else:
        return None
    return next((found for name, ours, other in pairs if (found := _misfit(ours, other, f"{where}/{name}"))), None)


def _misfit_of_progress(progress: dict[str, Any], n_batches: int) -> str | None:
    """Return what in a progress contradicts the rest of it, None where nothing does."""
    epoch, batch, history = progress["epoch"], progress["batch"], progress["history"]
    counts = progress["counts"]
    if not all(type(n) is int for n in (epoch, batch, progress["since_best"], *counts.values())):
        return "progress counts in fractions"
    if set(counts) != set(progress["sums"]) or not all(0 < n <= batch for n in counts.values()):
        return f"progress has the counts {counts!s:.100} of terms in {batch} batches"
    if epoch != len(history) or not 0 <= batch <= n_batches:
        return f"progress is at batch {batch} of {n_batches} in epoch {epoch}, with {len(history)} records"
    for record in (*history, progress["sums"]):
        if not isinstance(record, dict) or not all(isinstance(k, str) and _is_number(v) for k, v in record.items()):
            return "progress has a record that is not of names and numbers"
    return None


def _misfit_of_moments(moments: dict[str, Any], parameters: list[torch.Tensor]) -> str | None:
    """Return what in the moments of the optimiser fits no parameter; torch would find it in the next step."""
    known, shapes = moments["state"], [tuple(p.shape) for p in parameters]
    for i, entry in known.items():
        if type(i) is not int or not 0 <= i < len(shapes) or not isinstance(entry, dict):
            return f"moments has an entry {i!r:.20} that belongs to no parameter"
        averages = {BUFFER} if BUFFER in entry else {"exp_avg", "exp_avg_sq"}
        if set(entry) != averages | {"step"} or not all(map(torch.is_tensor, entry.values())):
            return f"moments/{i} is not of a step and the averages of Adam or of Muon"
        if entry["step"].numel() != 1 or any(tuple(entry[n].shape) != shapes[i] for n in averages):
            return f"moments/{i} is not of the shape {shapes[i]}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, NUMBERS) and not isinstance(value, bool)
