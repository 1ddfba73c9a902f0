"""
Pipelines and searches
======================

Forecasters are scikit-learn estimators: they stand at the end of a pipeline and go into ``GridSearchCV``. What a series
needs besides is a cross-validation that respects time, and a score of forecasts.
"""

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import gridcast as gc

precip = gc.datasets.make_precipitation(n_times=292, shape=(12, 24), random_state=0)
train, test = gc.train_test_split(precip, test_fraction=0.25)

# %%
# Splits in time
# --------------
#
# :class:`gridcast.WindowSplitter` cuts the series into a past and blocks of a future that is forecast from everything
# before it; windows never reach over the cut. A ``KFold`` would shuffle time, which is an error here.

splitter = gc.WindowSplitter(window=12, n_splits=3, test_fraction=0.4)
figure, ax = plt.subplots(figsize=(6.5, 1.8), layout="constrained")
for row, (past, future) in enumerate(splitter.split(train)):
    ax.barh(row, len(past), left=past[0], color="0.75", label="trained on" if row == 0 else None)
    ax.barh(row, len(future), left=future[0], color="tab:blue", label="scored on" if row == 0 else None)
ax.set(yticks=range(3), yticklabels=[f"split {k + 1}" for k in range(3)], xlabel="step of the series")
ax.invert_yaxis()
figure.legend(loc="outside upper center", ncols=2, frameon=False)

# %%
# A score of forecasts
# --------------------
#
# :func:`gridcast.make_scorer` scores rolling forecasts: skill, MSE, MAE or CRPS over a horizon. Like all of
# scikit-learn's scores, higher is better.

scorer = gc.make_scorer("mse", horizon=3, stride=3)
for strategy in ("persistence", "climatology"):
    scores = cross_val_score(gc.NaiveForecaster(strategy), train, cv=splitter, scoring=scorer)
    print(f"{strategy}: MSE {-scores.mean():.1f} (mm/day)^2")

# %%
# A search
# --------
#
# Any parameter can be searched, those of the transformer inside by ``transformer__data_range``. Searched here are the
# number of past fields that the latent field holds and the learning rate.

search = GridSearchCV(
    gc.CNMMForecaster(max_steps=20, training=gc.Training(stride=2), random_state=0, verbose=0),
    {"lags": [1, 6], "learning_rate": [3e-4, 3e-3]},
    cv=gc.WindowSplitter(window=12, n_splits=2, test_fraction=0.4),
    scoring=scorer,
    error_score="raise",
).fit(train)
for parameters, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    print(parameters, f"MSE {-score:.2f}")

# %%
# ``best_estimator_`` was trained on all of ``train``.

print(
    f"on the test part: MSE {-scorer(search.best_estimator_, test):.2f}, persistence "
    f"{-scorer(gc.NaiveForecaster().fit(train), test):.2f}"
)

# %%
# A pipeline
# ----------
#
# Neural forecasters scale their data and subtract the seasonal cycle themselves, so a pipeline is for more than that.
# :class:`gridcast.ForecastPipeline` is scikit-learn's ``Pipeline`` that undoes every step in the forecast, so that it
# comes out in physical units. Persistence of the *anomaly* from the season is a usual reference:

anomaly_persistence = gc.ForecastPipeline([("anomaly", gc.Anomaly()), ("model", gc.NaiveForecaster())]).fit(train)
print(anomaly_persistence.predict(2).attrs["units"])

models = {
    "CNMM": search.best_estimator_,
    "persistence of anomalies": anomaly_persistence,
    "persistence": gc.NaiveForecaster().fit(train),
    "climatology": gc.NaiveForecaster("climatology").fit(train),
}
errors = {
    name: gc.verify(gc.backtest(m, test, horizon=8, stride=2), test, random_state=0) for name, m in models.items()
}
gc.plotting.plot_error_by_lead(errors, score="rmse")

# %%
# Estimators are cheap to copy: ``clone`` gives an untrained one with the same parameters, which is what every split of
# a search trains.

print(clone(search.best_estimator_).get_params()["lags"])

# %%
# **What was seen.** Cross-validation in time, a scorer over several leads and a search take scikit-learn's own tools.
# Here one past field is enough, since the made weather remembers no more than one step, and the learning rate hardly
# matters at so small a budget. The CNMM is best at short leads and as good as climatology at long ones. Over eight
# pentads the season moves so little that persistence of the anomaly is no better than persistence. Bands are 95 %
# confidence intervals by a block bootstrap.
