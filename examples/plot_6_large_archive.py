"""
An archive larger than memory
=============================

Training streams a lazy array: it reads blocks of whole chunks ahead of the model, never the whole archive. A training
that is interrupted goes on from its checkpoint, and callbacks look on.
"""

import tempfile
from pathlib import Path

import pandas as pd
import xarray as xr

import gridcast as gc

folder = Path(tempfile.mkdtemp())

# %%
# The archive
# -----------
#
# A Zarr store whose chunks hold many steps of the whole field each. This one is small, so that the example is quick;
# what follows is the same for one of a terabyte.

made = gc.datasets.make_precipitation(n_times=584, shape=(16, 32), random_state=0)
made.to_dataset(name="precip").chunk(time=73).to_zarr(folder / "precip.zarr", consolidated=False)

precip = xr.open_zarr(folder / "precip.zarr", consolidated=False)["precip"]
train, test = gc.train_test_split(precip, test_fraction=0.2)
print(f"{train.nbytes / 2**20:.1f} MiB in chunks of {train.data.chunksize}")

# %%
# How much memory
# ---------------
#
# ``gc.Training`` holds what few trainings change. Its ``buffer_bytes`` bounds what training holds of the archive (256
# MiB by default). Several chunks should fit. Here it is two thirds of the archive.
#
# ``checkpoint_dir`` keeps the state of the training, every five minutes unless ``checkpoint_every`` says otherwise.
# ``callbacks`` are called after every epoch: ready-made ones log to CSV or TensorBoard, own ones are short. This one
# stands for a job that ends before the training does.


class TimeIsUp(gc.callbacks.Callback):
    """Ends the process after so many epochs, as a cluster's time limit would."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, est, record):
        if len(est.history_) == self.epochs:
            raise KeyboardInterrupt


def forecaster(callbacks=None):
    """Return the forecaster of this training."""
    return gc.CNMMForecaster(
        max_epochs=4,
        training=gc.Training(
            stride=6,
            buffer_bytes=int(train.nbytes / 1.5),
            checkpoint_dir=folder / "training",
            checkpoint_every=5,
            callbacks=callbacks,
        ),
        random_state=0,
        verbose=0,
    )


try:
    forecaster(callbacks=[TimeIsUp(2)]).fit(train)
except KeyboardInterrupt:
    print("interrupted; kept:", sorted(path.name for path in (folder / "training").iterdir()))

# %%
# Go on
# -----
#
# The same `fit` on the same data goes on from the last checkpoint and ends with the weights of an uninterrupted
# training. With other parameters or other data it is an error that names what differs.

log = gc.callbacks.CSVLogger(folder / "history.csv")
model = forecaster(callbacks=[log]).fit(train)
pd.read_csv(folder / "history.csv")[["epoch", "loss", "elbo", "validation_error", "seconds"]].round(4)

# %%

try:
    forecaster().set_params(learning_rate=5e-3).fit(train)
except ValueError as error:
    print(str(error).replace(str(folder), "..."))

# %%
# What the training recorded
# --------------------------

gc.plotting.plot_history(model.history_)

# %%
# Forecasts are as lazy about their input: of a long history only the last ``context`` steps are read. A backtest reads
# block by block.

print(f"skill of one-step forecasts: {model.score(test):.2f}")
print("the archive is still lazy:", precip.chunks is not None)

# %%
# **What was seen.** Memory is a parameter. An interrupted training went on where it was and has one history; its
# checkpoint refuses a training with another learning rate.
