"""Go on with a model of earlier steps on later ones, and fit others to these, and to all, from nothing.

``python examples/going_on.py air,era5 --threads 1 --out docs/results`` fits a `CNMMForecaster` to the first half of the
training part of `benchmark.py`, goes on with it on the second half (`Training(warm_start=True)`: a tenth of the steps),
fits another to the second half alone and one to the whole training part, and writes ``going_on.json``: mean squared
errors of what follows, of data scaled to [-1, 1], one step ahead. Run again, it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from benchmark import COMMIT, open_series, read, write

import gridcast as gc

EARLIER, GONE_ON, LATER, ALL = "earlier half", "gone on", "later half, from nothing", "from nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", help="of air, era5, sst, precipitation, separated by commas")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-steps", type=int, help="of the fits from nothing, to try the script")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    path = arguments.out / "going_on.json"
    results = read(path)
    for name in arguments.series.split(","):
        for seed in range(arguments.seeds):
            found = results.setdefault(f"{name}/{seed}", {"commit": COMMIT})
            for part, record in measured(
                *gc.train_test_split(open_series(name), test_fraction=0.3), seed, found, arguments
            ):
                found[part] = record
                write(path, results)
                print(name, seed, part, record, flush=True)


def measured(
    train: xr.DataArray, test: xr.DataArray, seed: int, known: dict[str, Any], arguments: argparse.Namespace
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield what is not known yet: the error of each way one step ahead, in units of 1e-4, and seconds of training."""
    given = {} if arguments.max_steps is None else {"max_steps": arguments.max_steps}
    new, half = gc.CNMMForecaster(random_state=seed, verbose=0, **given), len(train) // 2
    unit = 1e-4 * (float(train.max() - train.min()) / 2) ** 2

    def record(model: Any) -> dict[str, float]:
        forecast = gc.backtest(model, test, 1)[-len(test) + new.context :, 0]  # what all of them can forecast
        error = forecast.values - test[new.context :].values
        seconds = sum(epoch["seconds"] for epoch in model.history_)
        return {"error": float(np.nanmean(np.square(error))) / unit, "training_seconds": seconds}

    if not {EARLIER, GONE_ON} <= set(known):
        earlier = copy.deepcopy(new).fit(train[:half])
        yield EARLIER, record(earlier)
        yield GONE_ON, record(earlier.set_params(training__warm_start=True).fit(train[half:]))
    for name, part in {LATER: train[half:], ALL: train}.items():
        if name not in known:
            yield name, record(copy.deepcopy(new).fit(part))


if __name__ == "__main__":
    main()
