"""
A scenario: what if the month is wet?
=====================================

An ensemble holds all futures that the model can think of. ``given=`` keeps to those that agree with something that is
taken to be known: the mean of a region, :class:`gridcast.AreaMean`, or the values of single cells. Everything else
follows from the covariances of the model.
"""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import gridcast as gc

# %%
# The free ensemble
# -----------------

precip = gc.datasets.make_precipitation(n_times=365, shape=(18, 36), random_state=0)
train, later = precip[:-20], precip[-20:]
model = gc.LinearForecaster(lags=2, context=6, horizon=8, random_state=0).fit(train)
free = model.predict_samples(8, n_samples=100)

box = (abs(precip.lat) < 20.0) & (precip.lon > 100.0) & (precip.lon < 160.0)
weights = box * gc.metrics.latitude_weights(precip.lat)


def of_box(fields):
    """Return the mean over the box."""
    return fields.weighted(weights).mean(("lat", "lon"))


month = free.time[:4]  # four pentads
first_weeks = of_box(free.sel(time=month)).mean("time")
wet = float(first_weeks.quantile(0.95))
print(f"mean over the box and 20 days: {float(first_weeks.mean()):.2f} mm/day, 5 % of members above {wet:.2f}")

# %%
# The wet month
# -------------
#
# One future in twenty is as wet as this. All members of the scenario are; how the rain is spread over the box, over the
# four pentads and around it is left to the model.

condition = gc.AreaMean(weights, between=(wet, 1.2 * wet), times=month.values)
scenario = model.predict_samples(8, n_samples=100, given=condition)
got = of_box(scenario.sel(time=month)).mean("time")
print(f"asked for {wet:.2f} to {1.2 * wet:.2f} mm/day, members have {float(got.min()):.2f} to {float(got.max()):.2f}")

days = 5 * np.arange(1, 9)
figure, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
for name, ensemble, colour in (("free", free, "C0"), ("wet month", scenario, "C1")):
    mean = of_box(ensemble)
    low, middle, high = mean.quantile([0.05, 0.5, 0.95], "member")
    ax.fill_between(days, low, high, color=colour, alpha=0.25, linewidth=0.0)
    ax.plot(days, middle, color=colour, marker="o", label=f"{name}: median, and 5 to 95 %")
ax.axvspan(5, 20, color="0.5", alpha=0.1, label="the month")
ax.set(xlabel="days from the last observation", ylabel="mean over the box [mm/day]", ylim=(0.0, None))
ax.legend(loc="lower left")

# %%
# What follows from it
# --------------------
#
# The difference of the two means, by pentad. The box is where the condition is; the rain that the model puts there
# reaches beyond it, and fades after the month.

difference = (scenario - free).mean("member")
figure, axes = plt.subplots(1, 4, figsize=(13, 3.0), layout="constrained", sharey=True)
for ax, lead in zip(axes, (0, 3, 4, 6), strict=True):
    mesh = difference[lead].plot.pcolormesh(ax=ax, cmap="BrBG", vmin=-4.0, vmax=4.0, add_colorbar=False)
    ax.plot([100.0, 160.0, 160.0, 100.0, 100.0], [-20.0, -20.0, 20.0, 20.0, -20.0], color="black", linewidth=1.0)
    ax.set(title=f"pentad {lead + 1}", xlim=(40.0, 240.0), ylim=(-60.0, 60.0))
    ax.label_outer()
figure.colorbar(mesh, ax=axes, label="wet month - free [mm/day]")

# %%
# Single cells
# ------------
#
# Six cells of the first pentad are known, as if stations had reported early. NaN is what is not known.

near = {"lat": slice(8, 11), "lon": slice(12, 14)}
reports = (0.0 * later[:8]).where(False)
reports[{"time": 0, **near}] = later[{"time": 0, **near}]
told = model.predict_samples(8, n_samples=100, given=reports)

truth, around = later[:8], {"lat": slice(6, 13), "lon": slice(10, 18)}
known = xr.zeros_like(truth, dtype=bool)
known[{"time": 0, **near}] = True
for name, ensemble in {"free": free, "told": told}.items():
    others = ensemble.where(~known).isel(around)
    wrong = gc.metrics.rmse(others.mean("member"), truth.isel(around), dim=("lat", "lon"))
    spread = np.sqrt((others.std("member") ** 2).mean(("lat", "lon")))
    print(f"{name}: RMSE around the reports {wrong.values[:3].round(2)} mm/day, spread {spread.values[:3].round(2)}")

# %%
# **What was seen.** Every member of the scenario is as wet as was asked for, and far from the box little changes. After
# the month the ensemble comes back to the free one within a few pentads, as the made weather is forgotten. Reports of
# six cells make the forecast around them somewhat better, most so one pentad later, and the ensemble a little narrower.
# The scenario is what the linear model thinks goes along with a wet month; it says nothing of why it would be wet.
