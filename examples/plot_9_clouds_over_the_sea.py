"""
Clouds over the sea surface
===========================

A satellite sees the temperature of the sea where there is no cloud. The linear model of a forecaster says how anomalies
move and fade, and ``reconstruct`` fills the gaps with the most likely run of fields, given all that was seen before
*and* after. Members say how sure that is.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image
from scipy.ndimage import gaussian_filter, shift

import gridcast as gc

# %%
# A sea whose truth is known
# --------------------------
#
# 500 daily fields: a season, a front from south to north, and eddies that drift westward and live for about
# a month. An island is land.


def drifting(n_steps, memory, move, size, seed):
    """Return patterns of a size in cells that move and are forgotten, with standard deviation 1, (time, y, x)."""
    rng, field, fields = np.random.default_rng(seed), np.zeros((24, 24)), []
    for _ in range(n_steps + 100):
        fresh = gaussian_filter(rng.normal(size=field.shape), size, mode="wrap")
        field = memory * shift(field, move, order=3, mode="grid-wrap") + fresh
        fields.append(field)
    return np.array(fields[100:]) / np.std(fields[100:])


times = pd.date_range("2019-01-01", periods=500)
lat, lon = np.linspace(30.0, 41.5, 24), np.linspace(-40.0, -28.5, 24)
eddies = drifting(len(times), memory=0.97, move=(0.0, -0.4), size=2.0, seed=0)
season = 4.0 * np.cos(2.0 * np.pi * (times.day_of_year.values - 240) / 365.25)
values = 20.0 - 0.5 * (lat[:, None] - 36.0) + season[:, None, None] + eddies
sea = xr.DataArray(
    values.astype("float32"),
    coords={"time": times, "lat": lat, "lon": lon},
    name="sst",
    attrs={"units": "degC", "long_name": "sea surface temperature"},
)
sea = sea.where((sea.lat - 38.5) ** 2 + (sea.lon + 31.5) ** 2 > 1.2)

# %%
# Clouds are large and stay for some days. They hide half of the sea, from the training as well.

cloud = drifting(len(times), memory=0.8, move=(0.3, 1.0), size=3.0, seed=1)
seen = sea.where(cloud < np.median(cloud))
train, test = gc.train_test_split(seen, test_fraction=50 / len(times))
model = gc.LinearForecaster(lags=2, context=6, horizon=8, random_state=0).fit(train)
print(f"not seen in training, land included: {model.missing_share_:.0%}")

# %%
# Filling the gaps
# ----------------
#
# The last 50 days were not in the training. With ``n_samples`` the result is an ensemble: its mean is the estimate,
# its spread the doubt. What was seen stays as it is.

members = model.reconstruct(test, n_samples=15)
filled, spread = members.mean("member", keep_attrs=True), members.std("member")
truth = sea.sel(time=test.time)
hidden = test.isnull() & truth.notnull()

# %%
# What else could be put there: the climatology of each cell, or what was seen in the cell before and after,
# interpolated in time.

estimates = {
    "climatology": gc.NaiveForecaster("climatology").fit(train).predict(len(test)),
    "interpolation": test.interpolate_na("time").ffill("time").bfill("time"),
    "reconstruct": filled,
}
for name, estimate in estimates.items():
    print(f"{name:13} RMSE under clouds {float(gc.metrics.rmse(estimate.where(hidden), truth)):.2f} degC")
print(f"{'':13} spread there {float(np.sqrt((spread.where(hidden) ** 2).mean())):.2f} degC")

# %%
# Six days, a week apart. Anomalies from the climatology show the eddies; the season would hide them.

normal = estimates["climatology"]
rows = {"seen": test, "interpolation": estimates["interpolation"], "reconstruct": filled}
anomalies = {name: (field - normal).rename("anomaly").assign_attrs(sea.attrs) for name, field in rows.items()}
gc.plotting.plot_film(
    (truth - normal).rename("anomaly").assign_attrs(sea.attrs), anomalies, leads=test.time.values[6:48:7]
)

# %%
# How long hidden, how wrong
# --------------------------
#
# In the middle of a long gap the cell itself says little. Interpolation suffers, the model leans on what is seen
# around it and on how that moves.

unseen = test.isnull().values
since, until = np.zeros(unseen.shape), np.zeros(unseen.shape)
for day in range(1, len(unseen)):
    since[day] = np.where(unseen[day], since[day - 1] + 1, 0)
    until[-day - 1] = np.where(unseen[-day - 1], until[-day] + 1, 0)
distance = test.copy(data=np.minimum(since, until))  # days to the nearest look at the cell
bins = {"1": (1, 1), "2": (2, 2), "3-4": (3, 4), "5-7": (5, 7), "8+": (8, 99)}
figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for name, estimate in estimates.items():
    there = [hidden & (distance >= low) & (distance <= high) for low, high in bins.values()]
    ax.plot(list(bins), [float(gc.metrics.rmse(estimate.where(w), truth)) for w in there], marker="o", label=name)
ax.plot(list(bins), [float(np.sqrt((spread.where(w) ** 2).mean())) for w in there], "k--", label="spread of members")
ax.set(xlabel="days to the nearest look at the cell", ylabel="RMSE [degC]", ylim=(0.0, 1.8))
ax.legend(ncols=2, loc="upper left")

# %%
# The film
# --------
#
# :func:`gridcast.plotting.animate_reconstruction` writes a frame a day. Here is one of them.

with tempfile.TemporaryDirectory() as folder:
    days = test.time[20:25]
    path = gc.plotting.animate_reconstruction(
        test.sel(time=days), filled, truth, spread, path=Path(folder) / "clouds.gif", dpi=60
    )
    with Image.open(path) as film:
        film.seek(3)
        frame = np.asarray(film.convert("RGB"))
figure = plt.figure(figsize=(frame.shape[1] / 80, frame.shape[0] / 80))
figure.add_axes((0, 0, 1, 1)).imshow(frame)
figure.axes[0].set_axis_off()

# %%
# **What was seen.** Under the clouds the reconstruction errs less than interpolation in time, and both far less than
# the climatology, in gaps of any length: an eddy that drifts into a gap is followed, where interpolation mixes what
# was there before with what came after. The spread grows with the length of the gap, as the error does, so it tells
# where to be careful. It is larger than the error, though: this model, which learned from a sea that was half hidden,
# is less sure than it could be.
