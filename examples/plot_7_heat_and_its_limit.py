"""
The heat experiment and its Kalman limit
========================================

Halim and Kawamoto (2020) compare models on a hot disc that cools on a noisy plate, seen through a noisy sensor. Its
dynamics are linear and its noise is Gaussian, so the best possible forecast is known: that of a Kalman filter which is
told the equation. A model that has to learn the equation from data can come near this limit, and not below it.

The paper's plate has 100 x 100 cells and 100 simulations; here are 64 x 64 cells and a few simulations. The full
experiment is ``examples/paper/reproduce.py``, its figures are on :doc:`/results`.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import xarray as xr

import gridcast as gc

# %%
# Windows of simulations
# ----------------------
#
# A dimension ``sample`` holds independent sequences. The test windows are of other simulations.

SHAPE, CONTEXT = (64, 64), 10
train = gc.datasets.make_heat(20, n_windows=6, window=20, shape=SHAPE, random_state=0)
test = gc.datasets.make_heat(12, n_windows=2, window=30, shape=SHAPE, random_state=1)
print(dict(train.sizes))

# %%
# Models
# ------

cnmm = gc.CNMMForecaster(context=CONTEXT, patch_size=24, max_steps=90, random_state=0, verbose=0).fit(train)
persistence = gc.NaiveForecaster("persistence").fit(train)

# %%
# The limit
# ---------
#
# In sine modes three steps of the simulation are a multiplication, so the filter is a scalar one for each mode.
# ``examples/paper/oracle.py`` is short; it is no part of the package, so it is imported by its path. It ignores that
# the data are clipped at 0 K, which matters on plates that are small or have cooled.


def import_by_path(path):
    """Import a file that is on no search path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
oracle = import_by_path(here / "paper" / "oracle.py")
limit = oracle.KalmanOracle(emission_sd=1.0, shape=SHAPE).multi_step(test.values[:, :CONTEXT], horizon=20)

# %%
# Twenty steps from ten observed ones
# -----------------------------------
#
# Every model sees the same ten steps. `backtest` of windows as long as context and horizon has one origin each.


def by_lead(forecast):
    """Return the mean squared error by lead time."""
    error = (forecast - test.sel(time=forecast.time)) ** 2
    return error.mean([d for d in error.dims if d != "lead_time"]).rename("mse").drop_attrs().assign_attrs(units="K^2")


series = test.isel(time=slice(CONTEXT - 1, None))
forecasts = {"CNMM": gc.backtest(cnmm, test, 20), "persistence": gc.backtest(persistence, series, 20)}
errors = {name: by_lead(forecast) for name, forecast in forecasts.items()}
optimal = np.square(limit.mean - test.values[:, CONTEXT:]).mean((0, 2, 3))
errors["Kalman filter"] = xr.DataArray(
    optimal, coords={"lead_time": np.arange(1, 21)}, name="mse", attrs={"units": "K^2"}
)
gc.plotting.plot_error_by_lead(errors)

# %%
# Beside the limit the course of the hottest window:

hottest = int(test.isel(time=0).mean(("y", "x")).argmax("sample"))
film = {name: forecast.isel(sample=hottest, init_time=0) for name, forecast in forecasts.items()}
truth = test.isel(sample=hottest).sel(time=film["CNMM"].time)
film = {name: forecast.drop_vars("time") for name, forecast in film.items()}
gc.plotting.plot_film(truth.drop_vars("time"), film, leads=(1, 2, 5, 10, 20))

# %%
# The distribution has a limit, too
# ---------------------------------

ensemble = gc.backtest(cnmm, test, 20, n_samples=8)
observed = test.sel(time=ensemble.time)
over = [d for d in observed.dims if d != "lead_time"]
crps = gc.metrics.crps(ensemble, observed, dim=over, weights=None)
limits = xr.DataArray(limit.crps(test.values[:, CONTEXT:]), coords={"lead_time": crps.lead_time}, attrs=crps.attrs)
shown = {"lead_time": [1, 5, 10, 20]}
ax = gc.plotting.plot_score_bars({"CNMM": crps.sel(shown)}, limits={"Kalman filter": limits.sel(shown)})
ax.set_xlabel("lead time [steps]")

# %%

error = errors["CNMM"] / errors["Kalman filter"]
for lead in (1, 20):
    at = {"lead_time": lead}
    print(
        f"lead {lead}: MSE {float(error.sel(at)):.2f} times the limit, CRPS {float((crps / limits).sel(at)):.2f} times"
    )

# %%
# **What was seen.** One step ahead a short training on patches comes within a few percent of what is possible, in the
# mean and in the distribution. Twenty steps ahead there is more to gain, and a longer training gains it:
# :doc:`/results`. Persistence zigzags because the scheme of the simulation does: a step is the mean of the four
# neighbours, so that noise goes to and fro between the cells of a checkerboard.
