"""
A file of your own
==================

From a NetCDF file to a NetCDF file: open lazily, name the variable, train, forecast, write with CF attributes, and keep
the model.
"""

import tempfile
from pathlib import Path

import xarray as xr

import gridcast as gc

folder = Path(tempfile.mkdtemp())

# %%
# A file as they come
# -------------------
#
# Stand-in for yours: several variables, a time axis by another name.

precip = gc.datasets.make_precipitation(n_times=292, shape=(16, 32), random_state=1)
archive = xr.Dataset({"rain": precip, "rain_anomaly": precip - precip.mean("time")})
archive.rename(time="valid_time").to_netcdf(folder / "archive.nc")

# %%
# Open it, name the variable
# --------------------------
#
# ``chunks={}`` keeps the array on disk; training reads it block by block. A forecaster wants one variable, whose first
# dimension is named ``time``, and says so otherwise.

dataset = xr.open_dataset(folder / "archive.nc", chunks={})
print("variables:", list(dataset.data_vars))
try:
    gc.NaiveForecaster().fit(dataset["rain"])
except ValueError as error:
    print(error)

# %%

series = dataset["rain"].rename(valid_time="time")
train, test = gc.train_test_split(series, test_fraction=0.25)
model = gc.CNMMForecaster(max_steps=60, random_state=0, verbose=0).fit(train)
skill = model.score(test)
print(f"skill against persistence: {skill:.2f}")

# %%
# Write the forecast
# ------------------
#
# Name, units and coordinates are already there. What the CF conventions ask for besides are a few attributes.

model.update(test)
mean, ensemble = model.predict(10), model.predict_samples(10, n_samples=20)
forecast = xr.Dataset({"rain": mean, "rain_ensemble": ensemble})
for name, what in (("rain", "predictive mean"), ("rain_ensemble", "ensemble")):
    forecast[name].attrs |= {"long_name": f"precipitation, {what}", "standard_name": "lwe_precipitation_rate"}
forecast["member"].attrs = {"long_name": "member of the ensemble", "standard_name": "realization", "units": "1"}
forecast["time"].attrs |= {"standard_name": "time", "axis": "T"}
forecast.attrs = {
    "Conventions": "CF-1.11",
    "title": "Forecast of precipitation",
    "source": f"gridcast {gc.__version__}, {type(model).__name__}",
}
forecast.to_netcdf(folder / "forecast.nc")
xr.open_dataset(folder / "forecast.nc")

# %%
# Keep the model
# --------------
#
# One file of JSON and safetensors, without pickle: opening it runs no code. A model that was trained on a GPU opens on
# a CPU. Inside is a card for people, which takes scores.

model.save(folder / "rain.gridcast", scores={"skill against persistence": skill})
again = gc.load(folder / "rain.gridcast")
print("the loaded model forecasts the same:", bool((again.predict(10) == mean).all()))

# %%

card = model.card(scores={"skill against persistence": skill})
print(card[: card.index("## Parameters at their defaults")])

# %%
# Drawn, the file says:

rain = xr.open_dataset(folder / "forecast.nc")["rain_ensemble"]
spread = rain.std("member").assign_attrs(rain.attrs)
figure = spread.isel(time=[0, 2, 9]).plot.pcolormesh(col="time", cmap="viridis", vmin=0.0, figsize=(10.0, 2.8))
figure.cbar.set_label("spread of the ensemble [mm/day]")

# %%
# **What was seen.** The array stayed on disk until training read it; an unsuitable name of the time axis is an error
# that says the way out. The forecast went back to NetCDF with its labels, and the loaded model forecasts what the saved
# one did, to the last bit. The ensemble spreads a little with lead time, and most where it rains
# most.
