"""Recurrences over the frames of a window: ConvLSTM on fields, LSTM on vectors, forward or backward."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gridcast.modules.layers import BOUNDED, Around, GridConv2d, LocatedConv2d


class ConvLSTM(nn.Module):
    """ConvLSTM (Shi et al. 2015) without peepholes, over all frames of a window.

    The convolution of the inputs sees all frames at once, the one of the hidden state is the only loop.

    Parameters
    ----------
    n_in, n_hidden : int
        Channels of a frame and of the state.
    kernel_size : int
    reverse : bool
        Run from the last frame to the first, equation (5).
    state_shape : tuple of int
        ``(y, x)`` of the trainable initial states H_init and C_init, ``(1, 1)`` for one value a channel.
    n_location : int
        Channels of what is known of each place.
    periodic : (bool, bool)
        Whether rows and columns go around.
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        kernel_size: int,
        *,
        reverse: bool = False,
        state_shape: tuple[int, int] = (1, 1),
        n_location: int = 0,
        periodic: Around = BOUNDED,
    ) -> None:
        super().__init__()
        self.reverse = reverse
        # the gates i, f, o and g in one pass
        self.input = LocatedConv2d(n_in, 4 * n_hidden, kernel_size, n_location=n_location, periodic=periodic)
        # the input has the bias already
        self.state = GridConv2d(n_hidden, 4 * n_hidden, kernel_size, periodic=periodic, bias=False)
        self.hidden_init = nn.Parameter(torch.zeros(n_hidden, *state_shape))  # (hidden, 1 or y, 1 or x)
        self.cell_init = nn.Parameter(torch.zeros(n_hidden, *state_shape))

    def forward(self, frames: Tensor, location: Tensor | None = None) -> Tensor:
        """Map (batch, time, n_in, y, x) to the hidden states (batch, time, n_hidden, y, x)."""
        return self.run(frames, location)[0]

    def run(self, frames: Tensor, location: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the hidden states and the last state (hidden, cell)."""
        # (batch, time, 4 * hidden, y, x)
        gates = self.input(frames.flatten(0, 1), location).unflatten(0, frames.shape[:2])
        state = self.initial_state(frames)
        hidden: list[Tensor] = []
        # unbind, not indexing: its backward pass is one stack, not one zero tensor for every step
        for gate in gates.flip(1).unbind(1) if self.reverse else gates.unbind(1):
            state = self._update(gate, state)
            hidden.append(state[0])
        # in the order of time, whichever way it ran
        return torch.stack(hidden[::-1] if self.reverse else hidden, dim=1), state

    def initial_state(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return H_init and C_init for the batch and the grid of `frames`, (batch, time, channel, y, x)."""
        shape = (frames.shape[0], -1, *frames.shape[-2:])
        return self.hidden_init.expand(shape), self.cell_init.expand(shape)

    def step(
        self, frame: Tensor, state: tuple[Tensor, Tensor], location: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Read one frame (batch, n_in, y, x) and return the next state."""
        return self._update(self.input(frame, location), state)

    def _update(self, gate: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, cell = state
        i, f, o, g = (gate + self.state(hidden)).chunk(4, dim=1)  # each (batch, hidden, y, x)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell


class DenseLSTM(nn.Module):
    """LSTM over vectors with trainable initial states, equation (5) of the vanilla deep Markov model."""

    def __init__(self, n_in: int, n_hidden: int, *, reverse: bool = False) -> None:
        super().__init__()
        self.reverse = reverse
        # torch's own: one fused kernel for all steps
        self.lstm = nn.LSTM(n_in, n_hidden, batch_first=True)
        self.hidden_init = nn.Parameter(torch.zeros(n_hidden))
        self.cell_init = nn.Parameter(torch.zeros(n_hidden))

    def forward(self, frames: Tensor) -> Tensor:
        """Map (batch, time, n_in) to the hidden states (batch, time, n_hidden)."""
        # (layer, batch, hidden); cuDNN asks for contiguous ones
        state = tuple(s.expand(1, frames.shape[0], -1).contiguous() for s in (self.hidden_init, self.cell_init))
        hidden, _ = self.lstm(frames.flip(1) if self.reverse else frames, state)
        return hidden.flip(1) if self.reverse else hidden
