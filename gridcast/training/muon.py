"""Muon: Adam, and for convolution kernels momentum whose directions all count alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

LEAST_SIDE = 32  # of a matrix: smaller ones, and what has no matrix, are left to Adam
MOMENTUM = 0.95
NORM = 10.0  # of a step of a kernel, the largest singular value, in units of the learning rate
# of the polynomial a x + b x^3 + c x^5 (Jordan et al. 2024): five of them bring singular values to between 0.7 and 1.2
COEFFICIENTS, N_ITERATIONS = (3.4445, -4.7750, 2.0315), 5
BUFFER = "momentum"


class Muon(torch.optim.AdamW):
    """Momentum orthogonalised by Newton-Schulz iterations (Jordan et al. 2024), for kernels; AdamW for all else.

    A kernel (n_out, n_in, rows, columns) is a matrix of n_out rows, of which a step takes all directions alike.
    `torch.optim.Muon` is for matrices alone and iterates in bfloat16, which few processors multiply quickly.

    Parameters
    ----------
    params : iterable of Parameter
    lr, weight_decay : float
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; the gradients of kernels are gone afterwards."""
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None and is_kernel(p):
                    alike[tuple(p.shape)].append(p)
            for kernels in alike.values():
                self._step_kernels(kernels, group["lr"], group["weight_decay"])
        return super().step(closure)

    def _step_kernels(self, kernels: list[Tensor], lr: float, weight_decay: float) -> None:
        """Update kernels of one shape together: many small products cost more than one large."""
        pushed = []
        for p in kernels:
            if not self.state[p]:
                # with a step, without which AdamW reads no state
                self.state[p].update({"step": torch.zeros(()), BUFFER: torch.zeros_like(p)})
            momentum, gradient = self.state[p][BUFFER], cast(Tensor, p.grad)
            self.state[p]["step"] += 1
            momentum.lerp_(gradient, 1 - MOMENTUM)
            pushed.append(torch.lerp(gradient, momentum, MOMENTUM).flatten(1))  # Nesterov's
        steps = orthogonalised(torch.stack(pushed))
        for p, step in zip(kernels, steps, strict=True):
            p.mul_(1 - lr * weight_decay)
            p.add_(step.reshape(p.shape), alpha=-lr * NORM * max(1.0, len(step) / step.shape[1]) ** 0.5)
            p.grad = None  # which Adam then passes over


def is_kernel(p: Tensor) -> bool:
    """Say whether a parameter is a convolution kernel that is large enough to be a matrix."""
    return p.ndim == 4 and min(len(p), p[0].numel()) >= LEAST_SIDE


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices (n, rows, columns) with their singular vectors, and singular values near 1."""
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if tall else matrices
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    # The iteration multiplies by polynomials of the product with the transpose, which commute: it is enough to follow
    # the small square matrices.
    a, b, c = COEFFICIENTS
    product = wide @ wide.mT
    one = torch.eye(product.shape[1], dtype=product.dtype, device=product.device)
    total = one.expand_as(product)
    for _ in range(N_ITERATIONS):
        factor = a * one + b * product + c * (product @ product)
        total, product = factor @ total, factor @ product @ factor
    found = total @ wide
    return found.mT if tall else found
