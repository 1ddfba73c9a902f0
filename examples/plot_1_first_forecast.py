"""
Five lines to a forecast
========================

A series goes in, a forecast with the same labels comes out. The series here is made: global precipitation by pentads
(five days), with a yearly cycle and weather that drifts along circles of latitude. Any
:class:`xarray.DataArray` over ``(time, y, x)`` can take its place.
"""

import gridcast as gc

precip = gc.datasets.make_precipitation(n_times=365, shape=(18, 36), random_state=0)
train, test = gc.train_test_split(precip, test_fraction=0.2)
model = gc.CNMMForecaster(max_steps=100, random_state=0, verbose=0).fit(train)
forecast = model.predict(6)
gc.plotting.plot_maps(test, forecast, times=forecast.time.values[[0, 1, 5]])

# %%
# ``test`` begins where ``train`` ends, so the forecast can be held against what came. It has the coordinates, the name
# and the units of the series, and time goes on in its calendar: pentads, 73 a year.

forecast

# %%
# How good is it?
# ---------------
#
# `score` is the one-step skill against persistence, ``1 - MSE / MSE of persistence``: 0 is as good as saying that the
# next pentad is like the last, 1 is perfect.

print(f"skill of one-step forecasts: {model.score(test):.2f}")

# %%
# How sure is it?
# ---------------
#
# `predict_samples` draws whole futures, `predict_quantiles` takes quantiles of them, cell by cell.

quantiles = model.predict_quantiles(12, q=(0.05, 0.25, 0.5, 0.75, 0.95))
place = {"lat": 45.0, "lon": 160.0, "method": "nearest"}
observed = precip.sel(**place).isel(time=slice(len(train) - 12, len(train) + 12))
gc.plotting.plot_fan(quantiles.sel(**place), observed)

# %%
# When new observations arrive
# ----------------------------
#
# `update` moves the starting point past them, without training again.

model.update(test[:10])
print("the next forecast is for", model.predict(1).time.dt.strftime("%Y-%m-%d").item())

# %%
# What is inside
# --------------

print(model.summary())

# %%
# **What was seen.** Five lines give a forecast with labels; one step ahead it beats persistence clearly. The first map
# has the weather of the truth, the last is smoother: far ahead a mean can only say what is usual for the season, and
# the fan says how far off it may be.
