"""No figure spreads data over a dimension, or joins labels, that do not belong together."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast import plotting

TIMES = pd.date_range("2001-01-01", periods=3)
FIGURES = {
    "maps": plotting.plot_maps,
    "error maps": lambda observed, forecast: plotting.plot_error_maps(observed, {"a": forecast}),
    "film": lambda observed, forecast: plotting.plot_film(observed, {"a": forecast}),
    "samples": lambda observed, forecast: plotting.plot_error_by_sample(observed, {"a": forecast}, dim="lat"),
    "animation": lambda observed, forecast: plotting.animate(forecast, observed, path="never.gif"),
    "spread": lambda observed, forecast: plotting.plot_spread_skill(members(forecast), observed),
    "ranks": lambda observed, forecast: plotting.plot_rank_histogram(members(forecast), observed),
    "reliability": lambda observed, forecast: plotting.plot_reliability(members(forecast), observed, threshold=0.5),
}
every_figure = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)


def members(forecast):
    return xr.concat([forecast, forecast + 1.0], pd.Index([0, 1], name="member"))


@pytest.fixture
def observed():
    coords = {"time": TIMES, "lat": [0.0, 1.0], "lon": [0.0, 1.0, 2.0, 3.0]}
    values = np.random.default_rng(0).random((3, 2, 4))
    return xr.DataArray(values, coords=coords, name="t2m", attrs={"units": "K"})


@every_figure
def test_a_dimension_of_one_side_alone_is_an_error_that_names_it(draw, observed):
    by_month = observed.rename(time="month").assign_coords(month=[1, 2, 3])
    with pytest.raises(ValueError, match=r"dimension 'month', which is none of .*\.sel\(month="):
        draw(observed, by_month)
    with pytest.raises(ValueError, match=r"dimension 'level', which is none of .*\.isel\(level=0\)"):
        draw(observed, observed.expand_dims("level"))


def test_the_advice_for_a_climatology_works(observed):
    by_month = observed[:1].rename(time="month").assign_coords(month=[1])
    with pytest.raises(ValueError, match=r"forecasts\['a'\].sel\(month=observed.time.dt.month\).drop_vars\('month'\)"):
        plotting.plot_error_maps(observed, {"a": by_month})
    climatology = by_month.sel(month=observed.time.dt.month).drop_vars("month")
    assert plotting.plot_error_maps(observed, {"a": climatology})[0].get_title().startswith("a\nmean ")


@every_figure
def test_another_grid_of_the_same_size_is_an_error(draw, observed):
    with pytest.raises(ValueError, match=r"differ along 'lon': first 0.0 against 0.5.*\.sel\(lon="):
        draw(observed, observed.assign_coords(lon=observed["lon"] + 0.5))
    bent = observed.drop_vars(("lat", "lon")).assign_coords(
        nav_lat=(("lat", "lon"), np.arange(8.0).reshape(2, 4)), nav_lon=(("lat", "lon"), np.arange(8.0).reshape(2, 4))
    )
    with pytest.raises(ValueError, match=r"other grids, their 'nav_lon' differ: first 0.0 against 9.0.*assign_coords"):
        draw(bent, bent.assign_coords(nav_lon=bent["nav_lon"] + 9.0))


@every_figure
def test_another_size_without_labels_is_an_error(draw, observed):
    plain = observed.drop_vars(("lat", "lon"))
    with pytest.raises(ValueError, match=r"differ along 'lon': . against . steps"):
        draw(plain, plain[..., :3])


def test_scores_and_fans_name_the_dimension_that_is_too_many(observed):
    score = observed[:, 0, 0].rename(time="lead_time")
    for draw in (plotting.plot_error_by_lead, plotting.plot_score_bars):
        with pytest.raises(ValueError, match=r"scores?|errors.*'a'\] has dimensions .*'lat'.*average all but"):
            draw({"b": score, "a": score.expand_dims("lat")})
    quantiles = xr.concat([observed, observed + 1.0], pd.Index([0.1, 0.9], name="quantile"))
    with pytest.raises(ValueError, match=r"observed has dimensions .*'lat'.* select a point"):
        plotting.plot_fan(quantiles[:, :, 0, 0], observed[:, :, 0])
