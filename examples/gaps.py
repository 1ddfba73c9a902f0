"""Fill gaps that were made in fields that are complete, beside what a user would pick instead.

``python examples/gaps.py air,sst,heat --threads 1 --out docs/results`` fits a `LinearForecaster` on the first 70 % of
the steps, hides parts of a stretch of the rest and writes ``gaps.json``; run again, it goes on where it was stopped.
``blobs`` hide 30, 60 and 90 % of each field by discs of 5 to 20 cells across, ``steps`` 1, 3 and 10 whole fields in a
row. Root mean squared errors of the hidden cells are in units of the climatological standard deviation of these cells.
``filtered`` is the last of the forecasts from the steps before a gap. ``heat`` is linear and Gaussian but for its
clipping; ``exact`` there is the best that any estimate could do, dense algebra with the true model.

Peers see anomalies of the same climatology: its mean alone, interpolation in time of each cell (of the anomalies, and
of the values as they are), DINEOF (Beckers and Rixen 2003: truncated singular values, refilled until they agree, the
rank by hidden observations) on the stretch behind as many steps of the training part, and ordinary kriging of each
field (an exponential covariance fitted to the training part).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from benchmark import COMMIT, open_series, read, write

import gridcast as gc

KINDS = ("blobs 30", "blobs 60", "blobs 90", "steps 1", "steps 3", "steps 10")
N_STEPS = {"air": 100, "sst": 60, "heat": 40}
EVERY = {"air": 1, "sst": 3, "heat": 1}  # of the cells of the globe, so that members take minutes
RANKS = (5, 10, 20, 40, 80)
HELD_OUT = 0.02  # of the observations, by which DINEOF finds its rank
N_MEMBERS = 20
PROCESS_SD, EMISSION_SD = 3.0, 1.0  # K, of the heat experiment


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    path = arguments.out / "gaps.json"
    results = read(path)
    for name in arguments.series.split(","):
        train, test = split(name)
        began = time.perf_counter()
        model = gc.LinearForecaster(random_state=0).fit(train)
        seconds = time.perf_counter() - began
        for kind in KINDS:
            for seed in range(arguments.seeds):
                if (key := f"{name}/{kind}/{seed}") not in results:
                    results[key] = judge(name, model, train, test, kind, seed) | {"fit_seconds": seconds}
                    write(path, results)
                    print(key, {k: round(v, 3) for k, v in results[key].items() if isinstance(v, float)}, flush=True)


def split(name: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Return what is learned from, and a stretch of what follows."""
    if name == "heat":
        heat = gc.datasets.make_heat(40, n_windows=1, window=60, shape=(16, 16), random_state=0)
        return heat[:30], heat[30, : N_STEPS[name]]
    series = open_series(name)
    series = series.isel({d: slice(None, None, EVERY[name]) for d in series.dims[-2:]}).load()
    train, test = gc.train_test_split(series, test_fraction=0.3)
    return train, test[: N_STEPS[name]]


def judge(
    name: str, model: gc.LinearForecaster, train: xr.DataArray, test: xr.DataArray, kind: str, seed: int
) -> dict[str, Any]:
    """Return the errors of all that fill the gaps of one kind."""
    truth = test.values.astype(float)
    hidden = mask_of(kind, truth.shape, np.random.default_rng(seed)) & np.isfinite(truth)
    gapped = test.where(~hidden)
    began = time.perf_counter()
    mean = model.reconstruct(gapped)
    seconds = time.perf_counter() - began
    members = model.reconstruct(gapped, n_samples=N_MEMBERS)
    cycle = climatology(model, test)
    anomalies = np.where(hidden, np.nan, truth - cycle)
    unit = np.sqrt(np.mean(np.square(truth - cycle)[hidden]))
    fields = {
        "reconstruct": mean.values,
        "climatology": cycle,
        "interpolation of anomalies": cycle + in_time(anomalies),
        "interpolation": in_time(np.where(hidden, np.nan, truth)),
        "dineof": cycle + dineof(model, train, anomalies, seed),
        "kriging": cycle + kriged(model, train, anomalies, test),
    }
    if "steps" in kind:
        fields["filtered"] = filtered(model, test, hidden)
    found: dict[str, Any] = {k: float(np.sqrt(np.mean(np.square(v - truth)[hidden])) / unit) for k, v in fields.items()}
    crps = gc.metrics.crps(members, test, dim=[], weights=None).values[hidden].mean()
    found |= {
        "crps": float(crps / unit),
        "coverage": float(gc.metrics.coverage(members, test, level=0.9, dim=[], weights=None).values[hidden].mean()),
        "hidden": float(hidden.mean()),
        "seconds": seconds,
        "commit": COMMIT,
    }
    if name == "heat":
        exact, deviation = kalman(truth, hidden)
        error = (exact - truth)[hidden]
        found["exact"] = float(np.sqrt(np.mean(np.square(error))) / unit)
        z = error / deviation[hidden]
        # of a normal distribution (Gneiting and Raftery 2007, equation 21)
        of_normal = z * (2 * _cdf(z) - 1) + 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi)
        found["exact crps"] = float(np.mean(deviation[hidden] * of_normal) / unit)
    return found


def mask_of(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return what is hidden; the first and the last steps are seen."""
    hidden, amount = np.zeros(shape, dtype=bool), int(kind.split()[1])
    if kind.startswith("steps"):
        for first in range(12, shape[0] - amount - 1, amount + 6):
            hidden[first : first + amount] = True
        return hidden
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    for field in hidden[2:-2]:
        while field.mean() < amount / 100:
            y, x, across = rng.integers(shape[1]), rng.integers(shape[2]), rng.integers(5, 21)
            field |= (rows - y) ** 2 + (columns - x) ** 2 <= (across / 2) ** 2
    return hidden


def climatology(model: gc.LinearForecaster, series: xr.DataArray) -> np.ndarray:
    """Return the climatology of the model at the times of a series."""
    scaling = model.scaling_
    zero = np.zeros((1, 1, 1, series.sizes["time"], 1, *series.shape[1:]), dtype=np.float32)
    history, times = model.recent_, series.get_index("time")
    restored = scaling.restore(zero.swapaxes(2, 3), history, [times], bounded=False)
    return restored[0, 0, :, 0, 0].astype(float)


def in_time(values: np.ndarray) -> np.ndarray:
    """Return values (time, y, x) with gaps interpolated in time, the nearest beyond the ends."""
    filled, steps = values.copy(), np.arange(len(values))
    for cell in np.ndindex(values.shape[1:]):
        series = values[(slice(None), *cell)]
        seen = np.isfinite(series)
        if seen.any():
            filled[(slice(None), *cell)] = np.interp(steps, steps[seen], series[seen])
    return np.nan_to_num(filled)


def dineof(model: gc.LinearForecaster, train: xr.DataArray, anomalies: np.ndarray, seed: int) -> np.ndarray:
    """Return anomalies (time, y, x) filled by truncated singular values."""
    if "sample" in train.dims:
        before = np.concatenate([s.values - climatology(model, s) for s in train[-10:]])
    else:
        last = train[-300:]
        before = last.values - climatology(model, last)
    table = np.concatenate([before, anomalies]).reshape(len(before) + len(anomalies), -1)
    sea = np.isfinite(before).all(0).ravel()
    table = table[:, sea]
    seen = np.isfinite(table)
    held = seen & (np.random.default_rng(seed).random(table.shape) < HELD_OUT)
    held[: len(before)] = False  # of the stretch with the gaps
    errors = {}
    for rank in RANKS:
        guess = _refilled(np.where(held, np.nan, table), rank)
        errors[rank] = np.mean(np.square(guess - table)[held])
    filled = np.zeros((len(anomalies), sea.size))
    filled[:, sea] = _refilled(table, min(errors, key=errors.__getitem__))[len(before) :]
    return np.where(np.isfinite(anomalies), anomalies, filled.reshape(anomalies.shape))


def _refilled(table: np.ndarray, rank: int) -> np.ndarray:
    gaps = ~np.isfinite(table)
    filled = np.where(gaps, 0.0, table)
    for _ in range(30):
        u, s, v = np.linalg.svd(filled, full_matrices=False)
        again = np.where(gaps, (u[:, :rank] * s[:rank]) @ v[:rank], table)
        if np.abs(again - filled).max() < 1e-3 * table[~gaps].std():
            break
        filled = again
    return again


def kriged(model: gc.LinearForecaster, train: xr.DataArray, anomalies: np.ndarray, series: xr.DataArray) -> np.ndarray:
    """Return anomalies (time, y, x) filled from the cells of the same field, 0 where there are none."""
    known = train[-1] if "sample" in train.dims else train[-300::10]
    past = known.values - climatology(model, known)
    rows, columns = np.indices(past.shape[1:])
    places = np.stack([rows.ravel(), columns.ravel()], axis=1)
    past = np.nan_to_num(past.reshape(len(past), -1))
    std = past.std(0)
    # the distance over which the correlation falls to 1 / e, from that of neighbours
    with np.errstate(invalid="ignore", divide="ignore"):
        near = np.nanmean((past[:, :-1] * past[:, 1:]).mean(0) / (std[:-1] * std[1:]))
    length = -1 / np.log(np.clip(near, 0.05, 0.995))
    filled = np.nan_to_num(anomalies).reshape(len(anomalies), -1)
    sea = np.isfinite(series.values).any(0).ravel()
    for field, values in zip(filled, anomalies.reshape(len(anomalies), -1), strict=True):
        seen, hidden = np.flatnonzero(np.isfinite(values)), np.flatnonzero(~np.isfinite(values) & sea)
        if len(seen) < 3 or not len(hidden):
            continue
        away = np.linalg.norm(places[seen][:, None] - places[seen], axis=-1)
        system = np.ones((len(seen) + 1, len(seen) + 1))
        system[:-1, :-1], system[-1, -1] = np.exp(-away / length) + 1e-4 * np.eye(len(seen)), 0
        between = np.ones((len(seen) + 1, len(hidden)))
        between[:-1] = np.exp(-np.linalg.norm(places[seen][:, None] - places[hidden], axis=-1) / length)
        field[hidden] = values[seen] @ np.linalg.solve(system, between)[:-1]
    return filled.reshape(anomalies.shape)


def filtered(model: gc.LinearForecaster, test: xr.DataArray, hidden: np.ndarray) -> np.ndarray:
    """Return forecasts of hidden steps from those before."""
    out, steps = test.values.astype(float).copy(), np.flatnonzero(hidden.any((1, 2)))
    for first in steps[np.diff(steps, prepend=-2) > 1]:
        n = int(np.argmin(hidden[first:].any((1, 2))))
        out[first : first + n] = model.predict(test[:first], n).values
    return out


def kalman(truth: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of hidden observations of the heat experiment given all others.

    Of the true model without its clipping; the first field has a wide prior.
    """
    n_times, rows, columns = truth.shape
    inside = np.zeros((rows, columns), dtype=bool)
    inside[1:-1, 1:-1] = True
    cells = np.flatnonzero(inside.ravel())
    n = len(cells)
    step = np.zeros((rows * columns, rows * columns))
    for cell in cells:  # a step is the mean of the four neighbours
        step[cell, [cell - 1, cell + 1, cell - columns, cell + columns]] = 0.25
    step = step[np.ix_(cells, cells)]
    three = np.linalg.matrix_power(step, 3)
    noise = PROCESS_SD**2 * sum((p := np.linalg.matrix_power(step, k)) @ p.T for k in range(3))
    # the filter, then the smoother backwards (Rauch, Tung and Striebel 1965)
    y, seen = truth.reshape(n_times, -1)[:, cells], ~hidden.reshape(n_times, -1)[:, cells]
    mean, cov, path = np.zeros(n), 300.0**2 * np.eye(n), []
    for t in range(n_times):
        if t:
            mean, cov = three @ mean, three @ cov @ three.T + noise
        ahead, s = (mean, cov), seen[t]
        if s.any():
            gain = np.linalg.solve(cov[np.ix_(s, s)] + EMISSION_SD**2 * np.eye(s.sum()), cov[s]).T
            mean, cov = mean + gain @ (y[t, s] - mean[s]), cov - gain @ cov[s]
        path.append((*ahead, mean, cov))
    found = np.zeros((2, n_times, rows * columns))
    for t in reversed(range(n_times)):
        _, _, now, now_cov = path[t]
        if t == n_times - 1:
            mean, cov = now, now_cov
        else:
            next_mean, next_cov = path[t + 1][:2]
            gain = np.linalg.solve(next_cov, three @ now_cov).T
            mean, cov = now + gain @ (mean - next_mean), now_cov + gain @ (cov - next_cov) @ gain.T
        found[0, t, cells], found[1, t, cells] = mean, np.sqrt(np.diag(cov) + EMISSION_SD**2)
    found[1, :, ~inside.ravel()] = 1e-6
    return found[0].reshape(truth.shape), found[1].reshape(truth.shape)


def _cdf(z: np.ndarray) -> np.ndarray:
    return np.asarray(torch.special.ndtr(torch.from_numpy(z)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", help="of air, sst, heat, separated by commas")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
