"""The weights of a module as arrays that a file can hold, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from gridcast.persistence.forms import check


def as_array(name: str, tensor: torch.Tensor) -> np.ndarray:
    """Return the weights `name` as an array; raise a ValueError where a file could not hold them."""
    if tensor.dtype.is_floating_point and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        raise ValueError(f'the weights {name} are {tensor.dtype}, which can not be saved: train with precision="32"')
    return tensor.detach().cpu().numpy()


def first_names(module: nn.Module) -> dict[str, str]:
    """Return the first name of the tensor that each name stands for: parts that several others hold are kept once."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(t), name) for name, t in module.state_dict(keep_vars=True).items()}


def tensors(module: nn.Module, weights: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the arrays as tensors, which are those that `module` has."""
    wanted, first = module.state_dict(), first_names(module)  # on the meta device: shapes and types alone
    if lacking := sorted(set(first.values()) - set(weights)):
        raise ValueError(f"the weights {lacking[:3]} are missing, {len(lacking)} in all")
    if surplus := sorted(set(weights) - set(first.values())):
        raise ValueError(f"the weights {surplus[:3]} belong to no part of the module, {len(surplus)} in all")
    arrays = {name: check(weights[name], np.ndarray, f"learned/module/{name}") for name in set(first.values())}
    found = {name: torch.from_numpy(arrays[first[name]]) for name in wanted}
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ValueError(
                f"the weights {name} are {tuple(tensor.shape)} of {tensor.dtype}, the parameters ask for "
                f"{tuple(wanted[name].shape)} of {wanted[name].dtype}"
            )
    return found
