"""Tensors as on a device that does not know double precision, as that of a Mac."""

import torch


class Single(torch.Tensor):
    """A tensor that is in double precision on the CPU alone."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        found = super().__torch_function__(function, types, args, kwargs)
        if function is torch.Tensor.cpu:
            return found.as_subclass(torch.Tensor)
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64:
            raise TypeError("the device knows no double precision")
        return found


def on_device(tensor):
    """Return a tensor as if it were there."""
    return tensor.as_subclass(Single)
