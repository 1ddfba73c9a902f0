"""Global precipitation made of a seasonal climatology and weather that drifts along latitude circles."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from gridcast.datasets._arguments import RandomState, check_count, check_shape, seed_sequence

_FIRST_YEAR = 1979  # as CMAP begins
_PENTADS = 73  # a year, of five days each
_LEAP_PENTAD = 11  # counted from 0: Feb 25 to Mar 1, six days long in a leap year
_LINK_OFFSET = 0.6  # a of the link: a cell is dry with probability Phi(-a) = 0.27
_MEAN_OF_LINK = 0.76867  # E[max(0, w + a)] of a standard normal w: phi(a) + a Phi(a)
_PERSISTENCE = 0.7  # lag-1 correlation of the weather where it moves along
_SMOOTHING = 5.0  # degrees; the correlation of the weather falls as exp(-(distance / 10 degrees)**2)


def make_precipitation(
    n_times: int = 730, shape: Sequence[int] = (72, 144), random_state: RandomState = None
) -> xr.DataArray:
    r"""Simulate global precipitation by pentads, in the format and statistics of CMAP.

    .. math::

        P(t, \phi, \lambda) = \mu(t, \phi, \lambda)\, \max(0, w(t, \phi, \lambda) + a) / m

    with a = 0.6 and m = 0.769, so that the mean of P is :math:`\mu`, its standard deviation is
    1.00 :math:`\mu`, and 27 % of the values are zero.

    The climatology :math:`\mu` repeats every 73 pentads and has no randomness. It is the sum of

    - 0.3 mm/day everywhere;
    - the intertropical convergence zone, a band 7 degrees wide (standard deviation) around
      3 degN + 7 deg cos(season), which is farthest north on 1 August, 40 days after the sun;
    - storm tracks, bands 10 degrees wide around 45 degN and 45 degS, at their strongest in mid January in
      the north and mid July in the south, by 35 % above their mean;

    where the bands are stronger and weaker along longitude as continents and oceans make them: by
    25 % in a wave of three (peaks at 20, 140 and 260 degE: Africa, the warm pool, America) in the tropics,
    a wave of two (peaks at 160 and 340 degE: the oceans) in the northern track, and by 10 % in the southern.

    The weather w is a Gaussian field of zero mean and unit variance that is carried along longitude while it
    is renewed:

    .. math::

        w(t, \phi, \lambda) = \rho\, w(t - 1, \phi, \lambda - u(\phi))
                              + \sqrt{1 - \rho^2}\, \eta(t, \phi, \lambda)

    with :math:`\rho` = 0.7, :math:`\eta` correlated as :math:`\exp(-(d / 10^\circ)^2)` over a distance d and
    periodic in longitude, and u the drift in degrees per pentad: 12 eastward at 45 degN and 45 degS, 8
    westward at the equator.

    On data scaled by (0, 80) -> (-1, 1), persistence has a one-step MSE of 9.5e-3, close to CMAP's, the
    climatology :math:`\mu` one of 6.8e-3 (7.6e-3 if learned from seven years), and a linear regression on the
    last step's anomalies around a cell 3.7e-3.

    Parameters
    ----------
    n_times : int, default 730
        Pentads from 1979-01-01 on; 730 are ten years.
    shape : (int, int), default (72, 144)
        Cells along latitude and longitude, at least 3 each; the default is 2.5 degrees.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None
        The same integer gives the same weather, and a longer series begins with the shorter one. None
        draws fresh entropy. NumPy's global state is not used.

    Returns
    -------
    xarray.DataArray
        Precipitation in mm/day, float32, dims ``(time, lat, lon)``. ``time`` holds the first days of the
        pentads (1 January, 6 January, ... the same dates each year; the twelfth pentad has six days in
        leap years). ``lat`` descends and ``lon`` ascends through the cell centres.

    Raises
    ------
    TypeError
        If `n_times` or an entry of `shape` is no integer, or `random_state` of another type.
    ValueError
        If `n_times` or `shape` is too small.

    References
    ----------
    Xie, P. and Arkin, P. A. (1997). Global precipitation: a 17-year monthly analysis based on gauge
    observations, satellite estimates, and numerical model outputs. Bull. Amer. Meteor. Soc. 78, 2539-2558.

    Examples
    --------
    >>> precip = make_precipitation(n_times=13, random_state=0)
    >>> precip.dims, precip.shape
    (('time', 'lat', 'lon'), (13, 72, 144))
    >>> str(precip.time.values[-1])[:10]
    '1979-03-02'
    """
    n_times = check_count("n_times", n_times)
    rows, columns = check_shape(shape)
    lat = 90 - (np.arange(rows) + 0.5) * 180 / rows
    lon = (np.arange(columns) + 0.5) * 360 / columns
    rng = np.random.default_rng(seed_sequence(random_state))

    climatology = _climatology(lat, lon)
    values = np.empty((n_times, rows, columns), dtype=np.float32)
    for step, weather in zip(range(n_times), _weather(lat, lon, rng), strict=False):
        np.maximum(weather + np.float32(_LINK_OFFSET), 0, out=values[step])
        values[step] *= climatology[step % _PENTADS]
    values /= np.float32(_MEAN_OF_LINK)
    return _label(values, _pentad_starts(n_times), lat, lon)


def _climatology(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Mean precipitation of each pentad of the year, (73, lat, lon) float32, mm/day."""
    day = np.arange(_PENTADS)[:, None, None] * 5.0 + 2.5  # the middle of each pentad, (pentad, 1, 1)
    lat, lon = lat[:, None], lon[None, :]

    convergence_lat = 3 + 7 * _season(day, peak=213)  # degrees; northernmost on 1 August
    tropics = 7.3 * _bell(lat - convergence_lat, 7) * _waves(lon, 0.25, number=3, peak=20)
    north = 5.1 * _bell(lat - 45, 10) * _waves(lon, 0.25, number=2, peak=160)
    north = north * (1 + 0.35 * _season(day, peak=15))
    south = 5.1 * _bell(lat + 45, 10) * _waves(lon, 0.10, number=2, peak=160)
    south = south * (1 + 0.35 * _season(day, peak=196))
    return (0.3 + tropics + north + south).astype(np.float32)


def _season(day: np.ndarray, peak: float) -> np.ndarray:
    return np.cos(2 * np.pi * (day - peak) / 365)


def _bell(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-0.5 * (distance / width) ** 2)


def _waves(lon: np.ndarray, amplitude: float, number: int, peak: float) -> np.ndarray:
    return 1 + amplitude * np.cos(np.radians(number * (lon - peak)))


def _weather(lat: np.ndarray, lon: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the Gaussian weather (lat, lon), step after step without end."""
    wavenumber = np.arange(len(lon) // 2 + 1)
    drift = 12 * _bell(np.abs(lat) - 45, 15) - 8 * _bell(lat, 12)
    # In Fourier space along longitude a drift by any distance is a turn of the phase: no grid error, no seam.
    carry = np.exp(-1j * wavenumber * np.radians(drift)[:, None]).astype(np.complex64)
    carry *= np.float32(_PERSISTENCE)  # (lat, wavenumber)
    renewal = np.float32(np.sqrt(1 - _PERSISTENCE**2))  # keeps the variance at 1

    along_lat, along_lon = _smoothers(lat, wavenumber, len(lon))
    shape = (len(lat), len(lon))

    def noise() -> np.ndarray:
        white = rng.standard_normal(shape, dtype=np.float32)
        return along_lon * np.fft.rfft(along_lat @ white, axis=1)

    spectrum = noise()
    while True:
        yield np.fft.irfft(spectrum, n=len(lon), axis=1)
        spectrum = carry * spectrum + renewal * noise()


def _smoothers(lat: np.ndarray, wavenumber: np.ndarray, n_lon: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian smoothing along lat, a matrix, and along lon, a filter; both keep unit variance."""
    along_lat = _bell(lat[:, None] - lat[None, :], _SMOOTHING)
    along_lat /= np.linalg.norm(along_lat, axis=1, keepdims=True)
    along_lon = _bell(wavenumber, 1 / np.radians(_SMOOTHING))
    # rfft leaves out the negative wavenumbers, which count in the variance
    both_signs = np.where((wavenumber == 0) | (2 * wavenumber == n_lon), 1, 2)
    along_lon /= np.sqrt(np.sum(both_signs * along_lon**2) / n_lon)
    return along_lat.astype(np.float32), along_lon.astype(np.float32)


def _pentad_starts(n_times: int) -> np.ndarray:
    """First days of the pentads from 1979-01-01 on, datetime64[ns]."""
    year, pentad = np.divmod(np.arange(n_times), _PENTADS)
    first_day = (year + _FIRST_YEAR - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    next_year = (year + _FIRST_YEAR - 1969).astype("datetime64[Y]").astype("datetime64[D]")
    is_leap = (next_year - first_day).astype(int) == 366
    days = 5 * pentad + (is_leap & (pentad > _LEAP_PENTAD))
    return (first_day + days).astype("datetime64[ns]")


def _label(values: np.ndarray, time: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> xr.DataArray:
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": ("time", time, {"long_name": "first day of the pentad"}),
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
        },
        name="precip",
        attrs={"units": "mm/day", "long_name": "pentad mean precipitation rate"},
    )
