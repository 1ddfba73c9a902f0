"""
Which model when
================

Two series of different kinds, all forecasters, one figure each: precipitation, where weather drifts and the season
matters, and a plate that has cooled, where diffusion smooths noise and no season helps. Budgets are small and equal; on
your series, run the same comparison.
"""

import time

import pandas as pd

import gridcast as gc

budget = {"max_steps": 60, "random_state": 0, "verbose": 0}


def models():
    """Return all forecasters, untrained."""
    return {
        "persistence": gc.NaiveForecaster("persistence"),
        "climatology": gc.NaiveForecaster("climatology"),
        "ConvLSTM": gc.ConvLSTMForecaster(**budget),
        "DMM": gc.DMMForecaster(**budget),
        "CNMM": gc.CNMMForecaster(**budget),
    }


def compare(train, test, horizon):
    """Return the scores of every model by lead time, and a table of costs."""
    scores, table = {}, {}
    for name, model in models().items():
        began = time.perf_counter()
        model.fit(train)
        seconds = time.perf_counter() - began
        scores[name] = gc.verify(gc.backtest(model, test, horizon, stride=3), test, n_resamples=200, random_state=0)
        table[name] = {"skill of one step": model.score(test), "fit [s]": seconds}
        table[name]["parameters"] = getattr(model, "n_parameters_", 0)
    return scores, pd.DataFrame(table).T.round({"skill of one step": 2, "fit [s]": 1}).astype({"parameters": int})


# %%
# Precipitation
# -------------

precip = gc.datasets.make_precipitation(n_times=292, shape=(12, 24), random_state=0)
train, test = gc.train_test_split(precip, test_fraction=0.25)
scores, table = compare(train, test, horizon=10)
table

# %%

gc.plotting.plot_error_by_lead(scores, score="rmse")

# %%
# A plate that has cooled
# -----------------------
#
# One long run: what is left of the heat is gone soon, and process noise feeds fluctuations that diffusion smooths.
# There is no season, climatology is the mean of each cell.

plate = gc.datasets.make_heat(1, n_windows=1, window=300, shape=(16, 16), random_state=3)
train, test = gc.train_test_split(plate.isel(sample=0, drop=True), test_fraction=0.3)
scores, table = compare(train, test, horizon=10)
table

# %%

gc.plotting.plot_error_by_lead(scores, score="rmse")

# %%
# **What was seen.** In both series the CNMM is best one step ahead, and at long leads it is as good as climatology.
# With so small a budget a model is not far from where it starts: the ConvLSTM from persistence, the DMM and the CNMM
# from linear inverse models, which is why these two lead here. Climatology beats persistence at every lead but the
# first.
#
# =====================================  ===============================================================================
# You have                               Take
# =====================================  ===============================================================================
# any series                             ``NaiveForecaster`` first: persistence at short leads, climatology at long ones
#                                        are what a model has to beat
# the general case                       ``CNMMForecaster``: any grid size, patches, uncertainty, long runs
# a good mean a few steps ahead          ``ConvLSTMForecaster``
# one grid, few large-scale patterns     ``DMMForecaster``: a vector describes the whole field
# =====================================  ===============================================================================
