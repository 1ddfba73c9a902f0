"""Two-dimensional turbulence on a torus: vorticity that is stirred by a fixed force."""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.fft
import xarray as xr

from gridcast.datasets._arguments import RandomState, check_count, check_shape, seed_sequence

_STEP = 0.005  # units of time; four times as long a step blows up at a viscosity of 1e-4
_STEPS_PER_FIELD = 200  # a field for each unit of time
_TOGETHER = 8  # simulations that are stepped at once: their fields stay in the cache
_FORCE = 0.1
_SHARE_KEPT = 2 / 3  # of the wavenumbers of either direction: products of two fields then have no aliases


def make_turbulence(
    n_simulations: int = 20,
    n_times: int = 30,
    viscosity: float = 1e-4,
    shape: Sequence[int] = (64, 64),
    random_state: RandomState = None,
) -> xr.DataArray:
    r"""Simulate two-dimensional turbulence, the Navier-Stokes equation for vorticity on the unit torus.

    .. math::

        \partial_t w + u \cdot \nabla w = \nu \nabla^2 w
            + 0.1 \left(\sin 2 \pi (x + y) + \cos 2 \pi (x + y)\right), \qquad \nabla \cdot u = 0

    from a Gaussian field :math:`w_0 \sim N(0, 7^{3/2} (-\nabla^2 + 49)^{-5/2})`, which is the benchmark of Li et al.
    (2021, section 5.3). Flow is pseudo-spectral: products are taken on the grid and dealiased by the 2/3 rule,
    viscosity is exact (an integrating factor) and the rest takes Heun steps of 0.005. One field is kept for each unit
    of time.

    Parameters
    ----------
    n_simulations : int, default 20
        Independent simulations; keep training and test data apart by different `random_state`. Twenty take about a
        minute.
    n_times : int, default 30
        Fields of a simulation.
    viscosity : float, default 1e-4
        The smaller, the finer the filaments and the shorter the flow can be forecast.
    shape : (int, int), default (64, 64)
        Cells along y and x, at least 8 each.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None
        The same integer gives the same flow, and the first simulations are the same whatever `n_simulations`. None
        draws fresh entropy. NumPy's global state is not used.

    Returns
    -------
    xarray.DataArray
        Vorticity, without units, float32, dims ``(sample, time, y, x)``, periodic along y and x. ``time`` is 1, 2, ...;
        ``y`` and ``x`` lie in [0, 1).

    Raises
    ------
    TypeError
        If a count is no integer or `random_state` of another type.
    ValueError
        If a count or `shape` is too small, `viscosity` is not positive, or too small for the flow to stay finite.

    References
    ----------
    Li, Z. et al. (2021). Fourier neural operator for parametric partial differential equations. ICLR 2021.

    Examples
    --------
    >>> vorticity = make_turbulence(2, n_times=3, shape=(16, 16), random_state=0)
    >>> vorticity.dims, vorticity.shape
    (('sample', 'time', 'y', 'x'), (2, 3, 16, 16))
    """
    n_simulations, n_times = check_count("n_simulations", n_simulations), check_count("n_times", n_times)
    rows, columns = check_shape(shape, minimum=8)
    if not viscosity > 0:
        raise ValueError(f"viscosity must be positive, got {viscosity!r}; the benchmark has 1e-3, 1e-4 and 1e-5")
    rngs = [np.random.default_rng(seed) for seed in seed_sequence(random_state).spawn(n_simulations)]
    values = np.empty((n_simulations, n_times, rows, columns), dtype=np.float32)
    for first in range(0, n_simulations, _TOGETHER):
        part = slice(first, first + _TOGETHER)
        noise = np.stack([rng.standard_normal((rows, columns)) for rng in rngs[part]])
        for step, vorticity in zip(range(n_times), _flow(noise, viscosity), strict=False):
            values[part, step] = vorticity
    if not np.isfinite(values).all():
        raise ValueError(f"viscosity={viscosity!r}: the flow blew up on a grid of {shape}; raise viscosity")
    return xr.DataArray(
        values,
        dims=("sample", "time", "y", "x"),
        coords={
            "time": ("time", np.arange(1.0, n_times + 1), {"long_name": "time"}),
            "y": ("y", np.arange(rows) / rows, {"long_name": "y"}),
            "x": ("x", np.arange(columns) / columns, {"long_name": "x"}),
        },
        name="vorticity",
        attrs={"units": "1", "long_name": "vorticity"},
    )


def _flow(noise: np.ndarray, viscosity: float) -> Iterator[np.ndarray]:
    """Yield the vorticity (simulation, y, x) after each unit of time, from white noise of the same shape."""
    rows, columns = size = noise.shape[1:]
    k_y, k_x = np.fft.fftfreq(rows, 1 / rows)[:, None], np.fft.rfftfreq(columns, 1 / columns)[None, :]
    d_y, d_x = 2j * np.pi * k_y, 2j * np.pi * k_x  # derivatives
    square = -(d_y**2 + d_x**2).real
    kept = (np.abs(k_y) < _SHARE_KEPT * rows / 2) & (np.abs(k_x) < _SHARE_KEPT * columns / 2)
    square[0, 0] = 1.0  # the mean has no flow; it is zero and stays so
    along_x, along_y = d_y / square, -d_x / square  # velocity of vorticity: the stream function's derivatives
    of_product, of_difference = kept * (d_y**2 - d_x**2), kept * d_x * d_y
    y, x = np.arange(rows)[:, None] / rows, np.arange(columns)[None, :] / columns
    angle = 2 * np.pi * (x + y)
    force = scipy.fft.rfft2(_FORCE * (np.sin(angle) + np.cos(angle)))
    decay = np.exp(-viscosity * square * _STEP)

    def tendency(w: np.ndarray) -> np.ndarray:
        u, v = (scipy.fft.irfft2(velocity * w, s=size) for velocity in (along_x, along_y))
        # u . grad w = (d_xx - d_yy)(u v) + d_xy (v v - u u), for flow without divergence: two transforms less
        product, difference = scipy.fft.rfft2(u * v), scipy.fft.rfft2(u**2 - v**2)
        return of_product * product + of_difference * difference + force

    covariance = 7**1.5 * (square + 49) ** -2.5
    covariance[0, 0] = 0.0
    # white noise of unit variance on the grid has a spectrum of rows * columns
    w = scipy.fft.rfft2(noise) * np.sqrt(covariance * rows * columns) * kept
    while True:
        for _ in range(_STEPS_PER_FIELD):
            now = tendency(w)
            w, ahead = decay * w, decay * now
            w = w + _STEP / 2 * (ahead + tendency(w + _STEP * ahead))
        yield scipy.fft.irfft2(w, s=size)
