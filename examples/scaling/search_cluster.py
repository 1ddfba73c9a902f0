"""Search parameters and verify on a dask cluster: ``python examples/scaling/search_cluster.py --workers 2``.

Each worker is a process with one thread of torch. The same client takes the address of a cluster elsewhere
(``--scheduler tcp://host:8786``); the workers need gridcast and see the same files.
"""

from __future__ import annotations

import argparse

import dask
import joblib
import torch
import xarray as xr
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

import gridcast as gc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scheduler", help="address of a running cluster; a local one by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40, help="training steps of each fit")
    arguments = parser.parse_args()
    train, test = gc.train_test_split(gc.datasets.make_precipitation(n_times=160, shape=(24, 24), random_state=0))
    cluster = arguments.scheduler or LocalCluster(
        n_workers=arguments.workers, threads_per_worker=1, dashboard_address=None
    )
    with Client(cluster) as client:
        client.run(torch.set_num_threads, 1)
        search = find(train, arguments.steps)
        print(search.best_params_, f"score {search.best_score_:.3f}")
        print(verify(search.best_estimator_, test).mean("init_time").round(3).values)
    if not arguments.scheduler:
        cluster.close()


def find(train: xr.DataArray, steps: int) -> GridSearchCV:
    """Return a search whose fits run on the workers of the current client."""
    search = GridSearchCV(
        gc.CNMMForecaster(window=8, context=6, max_epochs=20, max_steps=steps, random_state=0, verbose=0),
        {"learning_rate": [3e-4, 1e-3]},
        cv=gc.WindowSplitter(window=8, n_splits=2),
        error_score="raise",
    )
    with joblib.parallel_backend("dask"):
        return search.fit(train)


def verify(model: gc.CNMMForecaster, test: xr.DataArray, horizon: int = 5) -> xr.DataArray:
    """Return the squared error by origin and lead time; the workers backtest a part of the series each."""
    parts = [test[start : start + 20] for start in range(0, len(test) - 20, 20 - model.context - horizon)]
    forecast = dask.delayed(gc.backtest, pure=False)
    pieces = dask.compute(*(forecast(model, part, horizon) for part in parts))
    error = [(piece - test.sel(time=piece.time)) ** 2 for piece in pieces]
    return xr.concat(error, "init_time").drop_duplicates("init_time").mean(("lat", "lon"))


if __name__ == "__main__":
    main()
