"""
Missing data and land masks
===========================

NaN means not observed. Cells that are never observed, such as land in a field of the sea surface, stay missing in
every forecast. Cells that are hidden now and then, such as under clouds, do not count in the training and are filled in
by the model's state.
"""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import gridcast as gc

# %%
# A field with land and clouds
# ----------------------------

complete = gc.datasets.make_precipitation(n_times=292, shape=(18, 36), random_state=0)
lat, lon = complete.lat, complete.lon
land = ((lon > 60.0) & (lon < 120.0) & (lat > -30.0) & (lat < 60.0)) | (lat < -75.0)
noise = xr.DataArray(np.random.default_rng(0).random(complete.shape), coords=complete.coords)
clouds = noise.rolling(lat=5, lon=5, center=True, min_periods=1).mean() > 0.56
series = complete.where(~land).where(~clouds)
train, test = gc.train_test_split(series, test_fraction=0.25)

figure, axes = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained", sharey=True)
for ax, field, title in zip(axes, (complete, series), ("the truth", "what is observed"), strict=True):
    field.isel(time=-1).plot.pcolormesh(ax=ax, cmap="viridis", vmin=0.0, vmax=20.0, add_colorbar=False)
    ax.set_title(title)
    ax.set_facecolor("0.8")

# %%
# More that is known
# ------------------
#
# ``static=`` gives the networks constant fields on the grid, here the distance to land as far as one can tell from the
# mask and an orography; each is scaled to mean 0 and variance 1, and gaps in them are allowed. ``time_features=`` tells
# them the time of the year (``"season"``), of the day (``"day"``), or both.

height = (2000.0 * np.exp(-(((lat - 30.0) / 12.0) ** 2) - ((lon - 90.0) / 20.0) ** 2)).rename("height")
model = gc.CNMMForecaster(
    static=xr.Dataset({"land": land.astype("float32"), "height": height.astype("float32")}),
    time_features="season",
    max_steps=60,
    random_state=0,
    verbose=0,
).fit(train)
print(f"not observed in training: {model.missing_share_:.0%}, skill where observed: {model.score(test):.2f}")

# %%
# Forecasts of what was hidden
# ----------------------------
#
# Land is missing in the forecast, what clouds hid is not. The archive is made, so the truth under the clouds is known.

one_step = gc.backtest(model, test, horizon=1).isel(lead_time=0)
truth = complete.sel(time=one_step.time)
hidden = clouds.sel(time=one_step.time)
print("missing in the forecast is land alone:", bool((one_step.isnull() == land).all()))
climatology = gc.backtest(gc.NaiveForecaster("climatology").fit(train), test, horizon=1).isel(lead_time=0)
for name, forecast in {"CNMM": one_step, "climatology": climatology}.items():
    seen, unseen = (float(gc.metrics.rmse(forecast.where(where), truth)) for where in (~hidden, hidden))
    print(f"{name:12} RMSE {seen:.2f} mm/day under clear sky, {unseen:.2f} under clouds")

# %%

first = one_step.isel(init_time=slice(0, 3))
maps = first.swap_dims(init_time="time").drop_vars(["init_time", "lead_time"])
gc.plotting.plot_maps(complete.sel(time=maps.time).where(~land), maps)

# %%
# A gap in time is something else
# -------------------------------
#
# A step that is not there at all would silently shorten the distance between its neighbours, so it is an error. Put the
# step in, as missing, with ``asfreq`` or ``reindex``:

broken = series.drop_isel(time=[100])
try:
    gc.NaiveForecaster().fit(broken)
except ValueError as error:
    print(error)
gc.NaiveForecaster().fit(broken.reindex(time=series.time))

# %%
# **What was seen.** More than a quarter of the values was missing, and the model trained on what was there. Land
# stays missing in the forecasts, the sea under clouds does not: it is forecast nearly as well as the sea under a
# clear sky, and both better than by the climatology.
