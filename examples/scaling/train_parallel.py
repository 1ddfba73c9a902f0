"""Train one model in several processes: ``torchrun --nproc-per-node 2 examples/scaling/train_parallel.py``.

Every process streams its own blocks of the archive and takes its share of each batch; gradients are averaged. On a
machine with several GPUs each process takes one. Without ``torchrun`` the same script trains in one process.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch
import xarray as xr

import gridcast as gc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="Zarr store or NetCDF file; a made heat archive by default")
    parser.add_argument("--variable")
    parser.add_argument("--model", choices=["cnmm", "convlstm", "dmm"], default="cnmm")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8, help="of all processes together")
    parser.add_argument("--threads", type=int, default=1, help="of torch in each process")
    parser.add_argument("--out", type=Path, default=Path("history.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    series = open_series(arguments.data, arguments.variable)
    models = {"cnmm": gc.CNMMForecaster, "convlstm": gc.ConvLSTMForecaster, "dmm": gc.DMMForecaster}
    model = models[arguments.model](
        max_epochs=arguments.epochs, batch_size=arguments.batch_size, random_state=0, verbose=1
    ).fit(series)
    if int(os.environ.get("RANK", 0)) == 0:  # all processes hold the same model; one writes
        arguments.out.write_text(json.dumps(model.history_, indent=1))


def open_series(path: Path | None, variable: str | None) -> xr.DataArray:
    """Return a lazy series."""
    if path is None:
        return gc.datasets.make_heat(6, n_windows=4, window=20, shape=(32, 32), random_state=0)
    dataset = xr.open_zarr(path) if path.is_dir() else xr.open_dataset(path, chunks={})
    return dataset[variable or next(name for name, v in dataset.data_vars.items() if v.ndim == 3)]


if __name__ == "__main__":
    main()
