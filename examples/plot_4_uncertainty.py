"""
Probabilistic forecasts and their calibration
=============================================

An ensemble is worth something if its spread is as large as its error, if an observation is as likely to fall between
any two of its members, and if an event that it gives 70 % happens seven times in ten. Each has a figure.
"""

import matplotlib.pyplot as plt

import gridcast as gc

precip = gc.datasets.make_precipitation(n_times=365, shape=(16, 32), random_state=0)
train, test = gc.train_test_split(precip, test_fraction=0.3)
cnmm = gc.CNMMForecaster(max_steps=80, random_state=0, verbose=0).fit(train)
persistence = gc.NaiveForecaster("persistence", random_state=0).fit(train)

# %%
# Ensembles from rolling origins
# ------------------------------
#
# :func:`gridcast.backtest` forecasts the test part from one origin after the other, without training again. The members
# of persistence are its past errors.

ensembles = {
    name: gc.backtest(model, test, horizon=8, stride=5, n_samples=20)
    for name, model in {"CNMM": cnmm, "persistence": persistence}.items()
}
print(dict(ensembles["CNMM"].sizes))

# %%
# All scores at once
# ------------------
#
# :func:`gridcast.verify` scores a backtest by lead time, with confidence intervals from a block bootstrap: forecasts of
# neighbouring dates share the weather and are no independent cases.

climatology = gc.Anomaly().fit(train)
scores = {
    name: gc.verify(ensemble, test, climatology=climatology, n_resamples=300, random_state=0)
    for name, ensemble in ensembles.items()
}
shown = ["rmse", "mse_skill_climatology", "anomaly_correlation", "crps", "spread_skill_ratio"]
scores["CNMM"][shown].to_dataframe().round(2)

# %%

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
gc.plotting.plot_error_by_lead(scores, score="crps", ax=axes[0])
gc.plotting.plot_error_by_lead(scores, score="spread_skill_ratio", ax=axes[1])
axes[1].axhline(1.0, color="black", linewidth=0.8)

# %%
# The CRPS is the error of a whole distribution, in the units of the data; of a forecast without spread it is the mean
# absolute error. A spread-skill ratio below 1 is overconfident, above 1 is too careful.
#
# Spread against error
# --------------------
#
# The ratio is an average. Whether the ensemble knows *where and when* it is uncertain shows in bins: cells of a small
# spread must have small errors.

forecast = ensembles["CNMM"].isel(lead_time=slice(0, 4))
observed = test.sel(time=forecast.time)
figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.2), layout="constrained")
gc.plotting.plot_spread_skill(forecast, observed, ax=axes[0])
gc.plotting.plot_rank_histogram(forecast, observed, ax=axes[1])
gc.plotting.plot_reliability(forecast, observed, threshold=10.0, ax=axes[2])

# %%
# In the middle is the rank histogram: flat is calibrated, a U is too narrow, a dome too wide, a slope is a bias. At the
# right is the reliability of the event "more than 10 mm/day".
#
# The same as numbers, over every dimension that is wanted:

histogram = gc.metrics.rank_histogram(forecast, observed)
curve = gc.metrics.reliability(forecast, observed, threshold=10.0, n_bins=5)
print("share of observations at the lowest and the highest rank:", round(float(histogram[0] + histogram[-1]), 3))
curve.to_dataframe().round(3)

# %%
# One place
# ---------

quantiles = cnmm.predict_quantiles(12, q=(0.05, 0.25, 0.5, 0.75, 0.95))
place = {"lat": 2.0, "lon": 140.0, "method": "nearest"}
nearby = precip.isel(time=slice(len(train) - 15, len(train) + 12))
gc.plotting.plot_fan(quantiles.sel(**place), nearby.sel(**place))

# %%
# **What was seen.** One step ahead the CNMM has skill against climatology, from three steps on it has none: the made
# weather is forgotten by then, and what is left to forecast is the distribution. Its CRPS is below that of persistence
# at every lead. After so short a training its ensemble is overconfident, though, and the figures agree on where: the
# spread-skill ratio is about 0.8, the error exceeds the spread where the spread is large, the lowest ranks are too
# full, and high probabilities of heavy rain are too high.
