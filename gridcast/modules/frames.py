"""Frames of any size for networks that halve them: padding, cropping, and channels that say where a frame is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.layers import BOUNDED, Around


class Frames(nn.Module):
    """Pads frames to a multiple of `multiple` rows and columns, and knows the constant channels of the grid.

    Parameters
    ----------
    static : Tensor, (n_static, y, x), or None
        Constant fields of the whole grid that the networks see as further channels.
    multiple : int
        Downsampling factor of the networks.
    observed_channels : bool
        Whether the encoder sees the mask, because the training series has missing values.
    periodic : (bool, bool)
        Whether rows and columns go around; else the last one is repeated.
    n_given : int
        How many of the constant channels, the last ones, the encoder sees as well.
    """

    static: Tensor | None

    def __init__(
        self,
        static: Tensor | None,
        *,
        multiple: int = 1,
        observed_channels: bool = False,
        periodic: Around = BOUNDED,
        n_given: int = 0,
    ) -> None:
        super().__init__()
        # a buffer: it goes to the device with the module and is saved in it
        self.register_buffer("static", static)
        self.multiple = multiple
        self.observed_channels = observed_channels
        self.periodic = periodic
        self.n_given = n_given

    @property
    def n_static(self) -> int:
        """Number of constant channels."""
        return 0 if self.static is None else self.static.shape[0]

    def n_inputs(self, n_channels: int, n_further: int = 0) -> int:
        """Return the channels that the encoder sees for `n_channels` of data and `n_further` made of them."""
        return n_channels * (2 if self.observed_channels else 1) + n_further + self.n_given

    def inputs(self, x: Tensor, mask: Tensor, static: Tensor | None = None) -> Tensor:
        """Return what the encoder sees of padded frames, (batch, time, n_inputs, y, x), on their `static` channels."""
        parts = [x, mask] if self.observed_channels else [x]
        if self.n_given and static is not None:
            given = static[:, None, -self.n_given :]  # (1 or batch, 1, n_given, y, x)
            parts.append(given.expand(*x.shape[:2], *given.shape[2:]))
        # a copy of every frame is spared where there is nothing to add
        return torch.cat(parts, dim=2) if len(parts) > 1 else x

    def static_of(self, origin: Tensor | None, size: tuple[int, int]) -> Tensor | None:
        """Return the padded constant channels, (1, n_static, y, x), or of patches of `size` at `origin` (batch, 2)."""
        if self.static is None:
            return None
        if origin is None:
            return self.pad(self.static[None])
        rows, columns = size
        return self.pad(torch.stack([self.static[:, y : y + rows, x : x + columns] for y, x in origin.tolist()]))

    def pad(self, x: Tensor) -> Tensor:
        """Return `x` (..., y, x) continued to whole multiples."""
        # what is missing to the next multiple, 0 where nothing is
        for dim, around in zip((-2, -1), self.periodic, strict=True):
            size = x.shape[dim]
            # around, or the edge repeated: zeros would be a front that networks learn
            further = torch.arange(size, size + -size % self.multiple, device=x.device)
            if len(further):
                further = further % size if around else further.clamp(max=size - 1)
                x = torch.cat([x, x.index_select(dim, further)], dim)
        return x

    def pad_mask(self, mask: Tensor) -> Tensor:
        """Return the mask with zeros in the padding."""
        rows, columns = (-size % self.multiple for size in mask.shape[-2:])
        # padding is seen by the networks, but no loss counts it
        return F.pad(mask, (0, columns, 0, rows))

    def crop(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Undo `pad`."""
        return x[..., : size[0], : size[1]]
