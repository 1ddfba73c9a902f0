"""Animations: the frames of the file show the steps of the data."""

import importlib.util

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.animation import FFMpegWriter
from matplotlib.figure import Figure
from PIL import Image

from gridcast.plotting import animate, animate_reconstruction
from gridcast.plotting._fields import MapGrid


@pytest.fixture
def frames(monkeypatch):
    """Return what each frame showed when it was written: title, and the cells of each map."""
    seen = []
    original = Figure.savefig
    places = set()

    def savefig(figure, *args, **kwargs):
        maps = [ax for ax in figure.axes if ax.get_title()]
        seen.append((figure.get_suptitle(), {ax.get_title(): ax.collections[0].get_array().copy() for ax in maps}))
        places.add(tuple(ax.get_position().bounds for ax in figure.axes))
        assert len(places) == 1, "the layout moves"
        return original(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return seen


@pytest.fixture
def figures(monkeypatch):
    """Return the figures that films are drawn in."""
    drawn, original = [], MapGrid.new_axes
    monkeypatch.setattr(MapGrid, "new_axes", lambda *args: drawn.append(args[-1]) or original(*args))
    return drawn


def test_frames_are_the_steps_that_both_have(frames, observed, forecast, tmp_path):
    forecast = forecast[3:]
    path = animate(forecast, observed, path=tmp_path / "film.gif", dpi=40, frames_per_second=5)
    assert path == tmp_path / "film.gif"
    with Image.open(path) as film:
        assert film.n_frames == 3
        assert film.info["duration"] == 200
    assert [title for title, _ in frames] == [f"2001-01-{day:02d}" for day in range(8, 11)]
    for step, (_, maps) in enumerate(frames):
        truth = observed[7 + step]
        expected = {"truth": truth, "forecast": forecast[step], "error": forecast[step] - truth}
        assert list(maps) == list(expected)
        for name, data in expected.items():
            np.testing.assert_allclose(maps[name].filled(np.nan), data.values)


def test_the_colours_of_a_file_are_those_of_its_step(observed, tmp_path):
    dark_to_bright = observed.copy(data=np.zeros(observed.shape) + np.arange(10.0)[:, None, None])[[0, 9]]
    path = animate(dark_to_bright, path=str(tmp_path / "film.gif"), dpi=40)
    with Image.open(path) as film:
        centres = []
        for frame in range(2):
            film.seek(frame)
            centres.append(np.array(film.convert("RGB"), int)[film.height // 2, film.width // 2])
    assert centres[0].sum() < 250 < 400 < centres[1].sum()


def test_colours_and_places_are_the_same_in_all_frames(frames, figures, forecast, tmp_path):
    forecast = forecast[:2]
    animate(forecast, path=tmp_path / "film.gif", dpi=40)
    (figure,) = figures
    assert [list(maps) for _, maps in frames] == [["forecast"]] * 2
    shown = forecast.values[np.isfinite(forecast.values)]
    assert figure.axes[0].collections[0].get_clim() == tuple(np.percentile(shown, [2, 98]))
    assert figure.axes[1].get_ylabel() == "precip [mm/day]"
    assert plt.get_fignums() == []  # no figure of pyplot is left


def test_a_reconstruction_is_shown_beside_what_was_seen(frames, figures, observed, forecast, tmp_path):
    seen, spread = forecast.where(forecast > 0.5), abs(forecast[1:5]).rename(None)
    path = animate_reconstruction(seen, forecast, observed, spread, path=tmp_path / "film.gif", dpi=40)
    with Image.open(path) as film:
        assert film.n_frames == 4
    assert [title for title, _ in frames] == [f"2001-01-{day:02d}" for day in range(6, 10)]
    for step, (_, maps) in enumerate(frames):
        expected = {"seen": seen[1 + step], "filled": forecast[1 + step], "truth": observed[5 + step]}
        expected["spread"] = spread[step]
        assert list(maps) == list(expected)
        for name, data in expected.items():
            np.testing.assert_allclose(maps[name].filled(np.nan), data.values)
    (figure,) = figures
    maps = {ax.get_title(): ax.collections[0].get_clim() for ax in figure.axes if ax.get_title()}
    assert maps["seen"] == maps["filled"] == maps["truth"]
    values = np.concatenate([a.values[np.isfinite(a.values)] for a in (seen[1:5], forecast[1:5], observed[5:9])])
    assert maps["truth"][1] == np.percentile(values, 98)
    assert maps["spread"][0] == 0.0
    assert maps["spread"][1] == np.nanpercentile(spread, 99)
    assert [ax.get_ylabel() for ax in figure.axes[4:]] == ["precip [mm/day]", "spread [mm/day]"]


@pytest.mark.parametrize("shown", [(), ("truth",), ("spread",)])
def test_a_reconstruction_without_truth_or_spread(frames, figures, observed, shown, tmp_path):
    more = {name: observed for name in shown}
    animate_reconstruction(observed, observed.rename(None)[2:4], **more, path=tmp_path / "film.gif", dpi=40)
    assert [list(maps) for _, maps in frames] == [["seen", "filled", *shown]] * 2
    assert len(figures[0].axes) == 2 + len(shown) + 1 + ("spread" in shown)
    assert plt.get_fignums() == []


def test_errors_of_a_reconstruction(observed, forecast, tmp_path):
    path = tmp_path / "film.gif"
    with pytest.raises(ValueError, match="seen and filled have none in common"):
        animate_reconstruction(observed[:3], observed[3:], path=path)
    with pytest.raises(ValueError, match="seen and filled and truth have none in common"):
        animate_reconstruction(observed, observed[3:], observed[:3], path=path)
    with pytest.raises(ValueError, match="seen and spread differ along 'lat'"):
        animate_reconstruction(observed, forecast, observed, observed[:, :-1], path=path)
    with pytest.raises(ValueError, match=r"filled has the dimension 'member', .*filled.mean\('member'\)"):
        animate_reconstruction(observed, forecast.expand_dims(member=3), path=path)
    with pytest.raises(TypeError, match="truth must be a DataArray, not ndarray"):
        animate_reconstruction(observed, observed, observed.values, path=path)
    with pytest.raises(ValueError, match="frames_per_second=-1 must be above 0"):
        animate_reconstruction(observed, observed, path=path, frames_per_second=-1)
    with pytest.raises(ValueError, match=r"film.avi' must end in .gif or .mp4"):
        animate_reconstruction(observed, observed, path=tmp_path / "film.avi")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FFMpegWriter.isAvailable(), reason="needs ffmpeg")
def test_mp4(forecast, tmp_path):
    assert b"ftyp" in animate(forecast, path=tmp_path / "film.mp4", dpi=41).read_bytes()[:16]


def test_errors(forecast, observed, tmp_path, monkeypatch):
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda cls: False))
    with pytest.raises(RuntimeError, match=r"film.mp4' needs ffmpeg, which matplotlib does not find: .*write a .gif"):
        animate(forecast, path=tmp_path / "film.mp4")
    with pytest.raises(ValueError, match=r"film.avi' must end in .gif or .mp4"):
        animate(forecast, path=tmp_path / "film.avi")
    with pytest.raises(ValueError, match="frames_per_second=0 must be above 0"):
        animate(forecast, path=tmp_path / "film.gif", frames_per_second=0)
    with pytest.raises(ValueError, match=r"forecast has dimensions \('lat', 'lon'\), not \(time, y, x\)"):
        animate(forecast[0], observed, path=tmp_path / "film.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("cartopy") is None, reason="needs cartopy")
def test_projected(forecast, observed, tmp_path):
    path = animate(forecast, observed, path=tmp_path / "film.gif", dpi=40, projection="Robinson")
    with Image.open(path) as film:
        assert film.n_frames == 6
