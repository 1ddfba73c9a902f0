"""Torch and Pyro parts: `loss` and `forecast` on plain tensors. No labels, no devices, no windows."""
