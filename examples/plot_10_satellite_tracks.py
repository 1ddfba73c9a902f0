"""
Forecasts from a satellite's tracks
===================================

An altimeter measures the height of the sea along the ground track of its satellite: a few strips a day, each with an
error that is known. A forecast that takes the strips for a whole field, or for the truth, starts from the wrong place;
``observation_error`` tells it how much each of them is worth.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter, shift

import gridcast as gc

# %%
# The ocean of a model
# --------------------
#
# The forecaster learns from complete fields, here those of a made ocean: eddies of some 20 cm that drift westward, and
# 1 cm of noise, as every product has. A reanalysis would do.

rng, height, fields = np.random.default_rng(0), np.zeros((24, 24)), []
for _ in range(420):
    fresh = gaussian_filter(rng.normal(size=height.shape), 2.0, mode="wrap")
    height = 0.96 * shift(height, (0.0, -0.5), order=3, mode="grid-wrap") + fresh
    fields.append(height)
eddies = 0.1 * np.array(fields) / np.std(fields)
ocean = xr.DataArray(
    (eddies + 0.01 * rng.normal(size=eddies.shape)).astype("float32"),
    coords={
        "time": pd.date_range("2018-01-01", periods=420),
        "lat": np.linspace(-36.0, -24.5, 24),
        "lon": np.linspace(0.0, 11.5, 24),
    },
    name="ssh",
    attrs={"units": "m", "long_name": "height of the sea surface"},
)
train, test = gc.train_test_split(ocean, test_fraction=80 / 420)
model = gc.LinearForecaster(lags=2, context=6, horizon=10, random_state=0).fit(train)

# %%
# What the satellite sees
# -----------------------
#
# Two strips a day, three cells wide, ascending on one day and descending on the next; each day they lie elsewhere. At
# nadir, in the middle of a strip, the error is 2 cm, beside it 5 cm.

y, x, day = np.ogrid[:24, :24, : len(test)]
slope = np.where(day % 2, -0.4, 0.4)
across = np.moveaxis((x - slope * y - 5 * day + 6) % 12 - 6, -1, 0)  # cells from the middle of a strip
error = xr.DataArray(np.where(abs(across) < 0.5, 0.02, 0.05), coords=test.coords).where(abs(across) < 1.5)
noise = np.random.default_rng(1).normal(size=test.shape)
tracks = (test + error * noise).astype("float32").assign_attrs(ocean.attrs)
print(f"seen on a day: {float(tracks.notnull().mean()):.0%} of the cells")

figure, axes = plt.subplots(1, 4, figsize=(12, 3.1), layout="constrained", sharey=True)
for ax, field in zip(axes, tracks[:4], strict=True):
    mesh = field.plot.pcolormesh(ax=ax, cmap="viridis", vmin=-0.2, vmax=0.2, add_colorbar=False)
    ax.set_title(str(field.time.values)[:10])
    ax.set_facecolor("0.8")
    ax.label_outer()
figure.colorbar(mesh, ax=axes, label="ssh [m]")

# %%
# Four ways to start
# ------------------
#
# ``backtest`` forecasts from one origin after the other, and takes ``observation_error`` as ``predict`` does: a number,
# a field, or as here a series. Without it the strips are taken as they are, or the last look at each cell stands in for
# today. Complete fields are what no satellite sees: they say how good a forecast could be.

starts = {
    "complete fields": (test, None),
    "tracks and their errors": (tracks, error),
    "tracks alone": (tracks, None),
    "last look at each cell": (tracks.ffill("time").bfill("time"), None),
}
forecasts = {
    name: gc.backtest(model, history, horizon=10, stride=3, observation_error=errors)
    for name, (history, errors) in starts.items()
}
forecasts["climatology"] = gc.backtest(gc.NaiveForecaster("climatology").fit(train), test, horizon=10, stride=3)
errors_by_lead = {
    name: gc.metrics.rmse(forecast, test.sel(time=forecast.time), dim=("init_time", "lat", "lon"))
    for name, forecast in forecasts.items()
}
for name, by_lead in errors_by_lead.items():
    print(f"{name:24} RMSE of one day ahead {100 * float(by_lead[0]):.1f} cm")
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
gc.plotting.plot_error_by_lead(errors_by_lead, ax=ax)

# %%
# One forecast
# ------------
#
# The day after the same origin, from all four starts.

maps = {name: forecasts[name].isel(init_time=14, lead_time=0) for name in starts}
maps = {"truth": test.sel(time=maps["tracks alone"].time)} | maps
figure, axes = plt.subplots(1, len(maps), figsize=(14, 3.1), layout="constrained", sharey=True)
for ax, (name, field) in zip(axes, maps.items(), strict=True):
    mesh = field.plot.pcolormesh(ax=ax, cmap="viridis", vmin=-0.2, vmax=0.2, add_colorbar=False)
    ax.set_title(name)
    ax.label_outer()
figure.colorbar(mesh, ax=axes, label="ssh [m]")

# %%
# The field of today
# ------------------
#
# ``reconstruct`` takes the errors too. With ``keep_observed=False`` what was seen is estimated as well, without the
# noise.

members = model.reconstruct(tracks, n_samples=10, keep_observed=False, observation_error=error)
mean, spread = members.mean("member"), members.std("member")
for name, where in {"under a track": tracks.notnull(), "between tracks": tracks.isnull()}.items():
    wrong, doubt = gc.metrics.rmse(mean.where(where), test), np.sqrt((spread.where(where) ** 2).mean())
    print(f"{name:15} RMSE {100 * float(wrong):.1f} cm, spread {100 * float(doubt):.1f} cm")
print(f"the altimeter   RMSE {100 * float(gc.metrics.rmse(tracks, test)):.1f} cm")

# %%
# **What was seen.** A quarter of the cells a day is enough for a forecast that is better than the climatology at every
# lead, if it is told how far each look can be trusted. The same strips without their errors start from a field that has
# the noise in it and streaks along the tracks, and so do the last looks. What is left to complete fields is what lies
# between the tracks: there the estimate of today errs twice as much as under them. Its members know that, and are
# somewhat too sure.
