"""A hot disc that cools on a plate, seen through process noise and observation noise."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from gridcast.datasets._arguments import RandomState, check_count, check_shape, seed_sequence

_CELL = 0.1  # m
_TIME_STEP = 0.000625  # s, the stability limit of the scheme for a diffusivity of 4 m2/s and cells of 0.1 m
_N_STEPS = 2001  # states 0 to 2001 of a simulation
_STRIDE = 3  # steps between two frames of a window
_PLATE = 10.0  # m, the plate that the radii below belong to
_RADIUS = (0.5, 5.0)  # m
_TEMPERATURE = (500.0, 700.0)  # K
_HEADROOM = 300.0  # K above the disc's first temperature, where states and observations are clipped
_PROCESS_SD = 3.0  # K


def make_heat(
    n_simulations: int = 100,
    n_windows: int = 30,
    window: int = 30,
    emission_sd: float = 1.0,
    shape: Sequence[int] = (100, 100),
    random_state: RandomState = None,
) -> xr.DataArray:
    r"""Simulate the 2D heat equation with noise and cut windows from it.

    A plate at 0 K carries a disc of random place, radius and temperature. The state :math:`z` diffuses
    with process noise, the observation :math:`x` adds emission noise:

    .. math::

        z_t &= \mathrm{FD}(z_{t-1}) + 3\,\varepsilon_t, \qquad \varepsilon_t \sim N(0, I) \\
        x_t &= z_t + \sigma\,\eta_t, \qquad \eta_t \sim N(0, I)

    FD is the explicit scheme of :math:`\partial_t u = D \nabla^2 u` with D = 4 m2/s, dx = dy = 0.1 m and
    dt = 0.000625 s, the limit of its stability, where a step is the mean of the four neighbours. The border
    cells are 0 K always, free of either noise. States and observations are clipped to [0, T0 + 300] K
    after each step, T0 being the disc's first temperature.

    Each simulation runs 2001 steps. Windows start at steps drawn without replacement and take every third
    step, so windows of one simulation overlap; where they share a step they share its observation.

    Parameters
    ----------
    n_simulations : int, default 100
        Independent simulations; keep training and test data apart by different `random_state`.
    n_windows : int, default 30
        Windows cut from each simulation.
    window : int, default 30
        Steps of a window.
    emission_sd : float, default 1.0
        Standard deviation of the emission noise in K: 1 and 10 are the paper's emissions 1 and 2.
    shape : (int, int), default (100, 100)
        Cells along y and x, at least 3 each. Cells stay 0.1 m wide, so another shape is another plate: the
        disc's centre is uniform on it, and the radius, uniform in 0.5 to 5 m on the 10 m plate, is
        scaled by its shorter side over 10 m.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None
        The same integer gives the same states whatever `emission_sd`, and the first simulations are the
        same whatever `n_simulations`. None draws fresh entropy. NumPy's global state is not used.

    Returns
    -------
    xarray.DataArray
        Temperature in K, float32, dims ``(sample, time, y, x)`` with ``n_simulations * n_windows``
        samples, the windows of a simulation next to each other. ``time`` is in seconds from the window's
        start, ``y`` and ``x`` are cell centres in m. The default takes 3.6 GB.

    Raises
    ------
    TypeError
        If a count is no integer or `random_state` of another type.
    ValueError
        If a count, `shape` or `emission_sd` is too small, or a simulation has too few steps for the
        requested windows.

    References
    ----------
    Halim, C. J. and Kawamoto, K. (2020). 2D convolutional neural Markov models for spatiotemporal sequence
    forecasting. Sensors 20, 4195. https://doi.org/10.3390/s20154195

    Examples
    --------
    >>> heat = make_heat(n_simulations=2, n_windows=3, window=5, shape=(20, 30), random_state=0)
    >>> dict(heat.sizes)
    {'sample': 6, 'time': 5, 'y': 20, 'x': 30}
    """
    n_simulations = check_count("n_simulations", n_simulations)
    n_windows = check_count("n_windows", n_windows)
    window = check_count("window", window)
    rows, columns = check_shape(shape)
    if not 0 <= emission_sd < np.inf:
        raise ValueError(f"emission_sd must be finite and at least 0, got {emission_sd}; 0 shows the state")
    n_starts = _n_starts(n_windows, window)

    values = np.empty((n_simulations, n_windows, window, rows, columns), dtype=np.float32)
    for windows, seeds in zip(values, seed_sequence(random_state).spawn(n_simulations), strict=True):
        # apart: another `emission_sd` shows the same states
        state_rng, emission_rng = (np.random.default_rng(seed) for seed in seeds.spawn(2))
        starts = state_rng.choice(n_starts, size=n_windows, replace=False)  # no window twice
        _observe(windows, starts, emission_sd, state_rng, emission_rng)
    return _label(values.reshape(-1, window, rows, columns))


def _n_starts(n_windows: int, window: int) -> int:
    """Count the steps at which a window can start; raise if they are too few."""
    span = _STRIDE * (window - 1)
    n_starts = _N_STEPS + 1 - span
    if n_starts < 1:
        raise ValueError(
            f"window={window} spans {span} steps, more than the {_N_STEPS} of a simulation; "
            f"pass a window of at most {_N_STEPS // _STRIDE + 1}"
        )
    if n_windows > n_starts:
        raise ValueError(
            f"n_windows={n_windows} exceeds the {n_starts} start points of a simulation, window={window}; "
            "pass fewer windows and more n_simulations"
        )
    return n_starts


def _observe(
    windows: np.ndarray,
    starts: np.ndarray,
    emission_sd: float,
    state_rng: np.random.Generator,
    emission_rng: np.random.Generator,
) -> None:
    """Fill `windows` (n_windows, window, y, x) from one simulation, frame by frame."""
    n_windows, window, rows, columns = windows.shape
    # step of each frame of each window -> the places in `windows` that show it
    places: dict[int, list[tuple[int, int]]] = {}
    for index in np.ndindex(n_windows, window):
        places.setdefault(int(starts[index[0]]) + _STRIDE * index[1], []).append(index)

    hottest = np.float32(state_rng.uniform(*_TEMPERATURE))
    limit = hottest + np.float32(_HEADROOM)
    disc = hottest * _disc(rows, columns, state_rng)
    noise = np.empty((rows - 2, columns - 2), dtype=np.float32)  # the border is held at zero
    observation = np.zeros((rows, columns), dtype=np.float32)
    # no further than the last frame that is shown
    for step, state in enumerate(_diffuse(disc, limit, max(places), state_rng)):
        if step in places:
            emission_rng.standard_normal(dtype=np.float32, out=noise)
            observed = state[1:-1, 1:-1] + np.float32(emission_sd) * noise
            np.clip(observed, 0, limit, out=observation[1:-1, 1:-1])
            for place in places[step]:
                windows[place] = observation


def _disc(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a disc: ones inside, zeros outside and on the border, (y, x) float32."""
    y, x = _centres(rows), _centres(columns)
    radius = rng.uniform(*_RADIUS) * min(rows, columns) * _CELL / _PLATE  # in proportion to the plate, for other shapes
    y_centre, x_centre = rng.uniform(0, (rows * _CELL, columns * _CELL))
    disc = np.zeros((rows, columns), dtype=np.float32)
    inside = (y[:, None] - y_centre) ** 2 + (x - x_centre) ** 2 <= radius**2
    disc[1:-1, 1:-1] = inside[1:-1, 1:-1]
    return disc


def _diffuse(state: np.ndarray, limit: np.float32, n_steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the state (y, x) at steps 0 to n_steps; each yield ends the life of the one before."""
    following = np.zeros_like(state)
    noise = np.empty_like(state[1:-1, 1:-1])
    yield state
    for _ in range(n_steps):
        inner = following[1:-1, 1:-1]
        np.add(state[:-2, 1:-1], state[2:, 1:-1], out=inner)
        inner += state[1:-1, :-2]
        inner += state[1:-1, 2:]
        # at the stability limit the cell itself has no weight: the mean of its four neighbours
        inner *= np.float32(0.25)
        rng.standard_normal(dtype=np.float32, out=noise)
        noise *= np.float32(_PROCESS_SD)
        inner += noise
        np.clip(inner, 0, limit, out=inner)
        state, following = following, state  # two buffers: no new array in any step
        yield state


def _centres(n_cells: int) -> np.ndarray:
    return (np.arange(n_cells) + 0.5) * _CELL


def _label(values: np.ndarray) -> xr.DataArray:
    n_samples, window, rows, columns = values.shape
    time = np.arange(window) * _STRIDE * _TIME_STEP
    return xr.DataArray(
        values,
        dims=("sample", "time", "y", "x"),
        coords={
            "sample": np.arange(n_samples),
            "time": ("time", time, {"units": "s", "long_name": "time from the start of the window"}),
            "y": ("y", _centres(rows), {"units": "m"}),
            "x": ("x", _centres(columns), {"units": "m"}),
        },
        name="temperature",
        attrs={"units": "K", "long_name": "temperature of the plate"},
    )
