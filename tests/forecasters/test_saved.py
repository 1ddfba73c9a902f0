"""A saved forecaster opens as the same forecaster, and a file that is not one is refused."""

import copy
import io
import json
import pickle
import re
import socket
import warnings
import zipfile
from datetime import datetime
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from shift import Shift
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler
from small import MARKOV, TRAINING, small

import gridcast as gc
from gridcast.persistence.container import ARRAYS, TEXT, VALUES, read_file, write_file

PERIOD, WINDOW, CONTEXT = 12, TRAINING["window"], TRAINING["context"]
N_TRAIN, N_TEST, SHAPE = 40, 10, (8, 12)


def make_series(n_times=N_TRAIN + N_TEST, shape=SHAPE, time=None, lead=(), channels=(), seed=0):
    """Return a seasonal wave with noise, in K, with labels of many types."""
    rng = np.random.default_rng(seed)
    phase = np.arange(n_times).reshape(-1, *(1,) * (2 + len(channels))) / PERIOD + np.linspace(0, 1, shape[1])
    values = 280 + 10 * np.sin(2 * np.pi * phase) + rng.normal(scale=0.5, size=(*lead, n_times, *channels, *shape))
    time = pd.date_range("2001-01-01", periods=n_times, freq="D") if time is None else time
    dims = (*("sample",)[: len(lead)], "time", *("level",)[: len(channels)], "lat", "lon")
    coords = {
        "time": ("time", time, {"axis": "T"}),
        "lat": ("lat", np.linspace(60, 20, shape[0], dtype=np.float32), {"units": "degrees_north"}),
        "lon": np.linspace(200, 260, shape[1]),
        "height": 2.0,
        "reference": np.datetime64("2000-01-01", "ns"),
        "land": (("lat", "lon"), rng.random(shape) < 0.5),
        "station": ("lat", [f"s{i}" for i in range(shape[0])]),
    }
    x = xr.DataArray(values.astype(np.float32), dims=dims, coords=coords, name="t2m")
    return x.assign_attrs(units="K", long_name="temperature | 2 m", valid_range=np.array([0.0, 400.0], np.float32))


def gappy(x):
    """Return `x` with a corner that is never observed and a gap."""
    return x.where((x.lat > 50) | (x.lon < 250)).where(np.arange(x.sizes["time"])[:, None, None] != 7, drop=False)


ESTIMATORS = {
    "persistence": lambda: gc.NaiveForecaster(random_state=0),
    "climatology": lambda: gc.NaiveForecaster("climatology", period=PERIOD, random_state=0),
    "seasonal": lambda: gc.NaiveForecaster("seasonal", period=PERIOD, random_state=np.int64(0)),
    "cnmm": lambda: small("cnmm"),
    "dmm": lambda: small("dmm"),
    "convlstm": lambda: small("convlstm"),
}
SERIES = make_series()
TRAIN, TEST = SERIES[:N_TRAIN], SERIES[N_TRAIN:]


@pytest.fixture(scope="module", params=ESTIMATORS)
def fitted(request):
    return ESTIMATORS[request.param]().fit(TRAIN)


@pytest.fixture(scope="module")
def dmm():
    return ESTIMATORS["dmm"]().fit(TRAIN)


def reopened(estimator, folder, **options):
    path = folder / "model.gridcast"
    estimator.save(path, **options)
    return gc.load(path, device="cpu")


def assert_same(one, other, test=TEST):
    """Whatever is asked of the two, they answer the same, to the last bit."""
    one, other = copy.deepcopy(one), copy.deepcopy(other)
    for forecast in (
        lambda e: e.predict(3),
        lambda e: e.predict(3, mode="one_step"),
        lambda e: e.predict_samples(2, n_samples=3),
        lambda e: e.predict_quantiles(2, n_samples=5),
        lambda e: e.update(test).predict(2),
    ):
        xr.testing.assert_identical(forecast(one), forecast(other))
    for get in ("grid_", "calendar_", "trained_on_", "missing_share_"):
        assert getattr(one, get) == getattr(other, get)


# The same forecaster


def test_a_saved_forecaster_answers_the_same(fitted, tmp_path):
    loaded = reopened(fitted, tmp_path)
    assert type(loaded) is type(fitted)
    assert vars(loaded).keys() == vars(fitted).keys() - {"_series"}  # the training series is not saved
    assert repr(loaded.get_params()) == repr(fitted.get_params())
    assert_same(fitted, loaded)
    xr.testing.assert_identical(fitted.predict(SERIES, 2), loaded.predict(SERIES, 2))
    assert fitted.score(TEST) == loaded.score(TEST)
    options = {"horizon": 2, "mode": "one_step"}
    xr.testing.assert_identical(gc.backtest(fitted, TEST, **options), gc.backtest(loaded, TEST, **options))
    with pytest.warns(UserWarning, match="shares steps"):
        loaded.score(TRAIN)
    assert clone(loaded).fit(TRAIN).predict(1).shape == (1, *SHAPE)


def test_history_and_weights_are_kept(dmm, tmp_path):
    loaded = reopened(dmm, tmp_path)
    assert loaded.history_ == dmm.history_
    assert loaded.n_parameters_ == dmm.n_parameters_
    assert loaded.transformer_ is loaded.scaling_.transformer
    assert not loaded.module_.training
    ours, theirs = dict(dmm.module_.named_parameters()), dict(loaded.module_.named_parameters())
    assert {n: p.requires_grad for n, p in ours.items()} == {n: p.requires_grad for n, p in theirs.items()}


def test_the_same_forecaster_gives_the_same_bytes_and_a_saved_one_again(fitted, tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    fitted.save(one)
    gc.load(one, device="cpu").save(two)
    assert one.read_bytes() == two.read_bytes()


def test_an_update_is_saved(dmm, tmp_path):
    ahead = copy.deepcopy(dmm).update(TEST[:3])
    loaded = reopened(ahead, tmp_path)
    xr.testing.assert_identical(loaded.predict(2), ahead.predict(2))
    xr.testing.assert_identical(loaded.update(TEST[3:]).predict(1), ahead.update(TEST[3:]).predict(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_of_a_gpu_opens_on_a_gpu_and_on_a_cpu(tmp_path):
    estimator = gc.ConvLSTMForecaster(**TRAINING | {"device": "cuda"}, rnn_channels=4).fit(TRAIN)
    estimator.save(tmp_path / "a")
    xr.testing.assert_identical(gc.load(tmp_path / "a", device="cuda").predict(2), estimator.predict(2))
    on_cpu = gc.load(tmp_path / "a", device="cpu")
    assert next(on_cpu.module_.parameters()).device.type == "cpu"
    xr.testing.assert_allclose(on_cpu.predict(2), estimator.predict(2), rtol=1e-3)


CALENDARS = {
    "noleap": lambda n: xr.date_range("2001-01-01", periods=n, calendar="noleap", use_cftime=True),
    "360_day": lambda n: xr.date_range("2001-01-01", periods=n, freq="MS", calendar="360_day", use_cftime=True),
    "months": lambda n: pd.date_range("2001-01-01", periods=n, freq="MS", unit="s"),
    "numbers": lambda n: np.arange(n) * 0.5,
}


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("name", ["persistence", "convlstm"])
def test_every_calendar_is_kept(name, calendar, tmp_path):
    series = make_series(time=CALENDARS[calendar](N_TRAIN + N_TEST))
    estimator = ESTIMATORS[name]().fit(series[:N_TRAIN])
    assert_same(estimator, reopened(estimator, tmp_path), series[N_TRAIN:])


@pytest.mark.parametrize(
    "series",
    [
        make_series(lead=(3,)),
        make_series(lead=(3,)).assign_coords(sample=["a", "b", "c"]),
        make_series(channels=(2,)).assign_coords(level=[500, 850]),
        gappy(make_series()),
        make_series().values,
        make_series().drop_vars(["time", "lat"]),
        make_series().chunk(time=10).rename(None),
    ],
    ids=["samples", "named samples", "channels", "gaps", "no labels", "few labels", "lazy, no name"],
)
@pytest.mark.parametrize("name", ["climatology", "convlstm"])
def test_every_kind_of_series_is_kept(name, series, tmp_path):
    n = N_TRAIN
    train, test = (
        (series[:n], series[n:])
        if isinstance(series, np.ndarray)
        else (series.isel(time=slice(n)), series.isel(time=slice(n, None)))
    )
    estimator = ESTIMATORS[name]().fit(train)
    assert_same(estimator, reopened(estimator, tmp_path), test)


def test_labels_of_text_that_pandas_makes_are_kept(tmp_path):
    levels = pd.Index(["surface", "500 hPa"], name="level")
    train, test = (xr.concat([part, 2 * part], levels).transpose("time", "level", ...) for part in (TRAIN, TEST))
    estimator = ESTIMATORS["persistence"]().fit(train)
    loaded = reopened(estimator, tmp_path)
    np.testing.assert_array_equal(loaded.predict(1).level, levels)
    xr.testing.assert_equal(loaded.update(test).predict(2), estimator.update(test).predict(2))


VARIANTS = {
    "cnmm paper": lambda: gc.CNMMForecaster(**MARKOV | TRAINING, architecture="paper"),
    "cnmm all": lambda: gc.CNMMForecaster(
        **MARKOV | TRAINING,
        patch_size=8,
        static=xr.Dataset({"oro": TRAIN[0].drop_vars("land"), "land": TRAIN.land * 1.0}).drop_vars("station"),
        time_features=["season"],
        transformer=gc.MinMaxTransformer(data_range=[(200, 300)]),
        training=gc.Training(validation_fraction=0.2, patience=3, schedule="constant"),
        climatology=None,
    ),
    "dmm": lambda: gc.DMMForecaster(**MARKOV | TRAINING, architecture="paper", transformer=gc.Anomaly(PERIOD)),
    "convlstm": lambda: gc.ConvLSTMForecaster(
        **TRAINING, rnn_channels=4, periodic="lon", static=[TRAIN.land * 1.0, np.ones(SHAPE)]
    ),
    "linear": lambda: gc.LinearForecaster(
        lags=3, context=5, periodic=("lat", "lon"), climatology="mean", random_state=1
    ),
    "linear log": lambda: small("linear", transformer=gc.LogTransformer(bound=200)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_module_is_built_from_its_parameters_without_data(variant, tmp_path):
    estimator = VARIANTS[variant]().fit(TRAIN)
    assert_same(estimator, reopened(estimator, tmp_path))


@pytest.mark.parametrize("variant", ["cnmm", "cnmm paper"])
def test_a_module_that_sees_the_day_or_not_is_built_again(variant, tmp_path):
    """Of several steps a day the published networks see no time unasked, and no more once they are opened."""
    train = make_series(time=pd.date_range("2001-01-01", periods=N_TRAIN + N_TEST, freq="6h"))[:N_TRAIN]
    estimator = (ESTIMATORS | VARIANTS)[variant]().fit(train)
    loaded = reopened(estimator, tmp_path)
    assert (estimator.time_features_ is None) == (loaded.time_features_ is None) == (variant == "cnmm paper")
    xr.testing.assert_identical(estimator.predict(3), loaded.predict(3))


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_goes_on_where_it_was(make, tmp_path):
    estimator = gc.NaiveForecaster(random_state=make(3)).fit(TRAIN)
    estimator.predict_samples(2, n_samples=2)
    loaded = reopened(estimator, tmp_path)
    xr.testing.assert_identical(estimator.predict_samples(2, n_samples=2), loaded.predict_samples(2, n_samples=2))


def test_what_belongs_to_one_training_is_not_saved(tmp_path):
    callback = gc.callbacks.Callback()
    settings = gc.Training(callbacks=[callback], checkpoint_dir=tmp_path / "c", patience=3)
    estimator = gc.ConvLSTMForecaster(rnn_channels=4, **TRAINING, training=settings)
    estimator.fit(TRAIN).save(tmp_path / "model.gridcast")
    loaded = gc.load(tmp_path / "model.gridcast")
    assert (loaded.training.callbacks, loaded.training.checkpoint_dir) == (None, None)
    assert loaded.training.patience == 3
    assert loaded.device == "auto"
    secrets = (str(tmp_path), str(Path.home()), socket.gethostname(), str(Path(gc.__file__).parent))
    data = (tmp_path / "model.gridcast").read_bytes()
    assert not [secret for secret in secrets if len(secret) > 3 and secret.encode() in data]


# What scikit-learn's users do


@pytest.mark.parametrize(
    "keep",
    [
        lambda e, folder: pickle.loads(pickle.dumps(e)),
        lambda e, folder: joblib.load(joblib.dump(e, folder / "e.joblib")[0]),
        lambda e, folder: copy.deepcopy(e),
    ],
    ids=["pickle", "joblib", "deepcopy"],
)
def test_fitted_unfitted_and_cloned_forecasters_are_kept(fitted, keep, tmp_path):
    assert_same(fitted, keep(fitted, tmp_path))
    for unfitted in (clone(fitted), keep(clone(fitted), tmp_path)):
        assert repr(unfitted) == repr(fitted)
        with pytest.raises(NotFittedError):
            unfitted.predict(1)


# What can not be saved


def test_an_unfitted_forecaster_is_not_saved(tmp_path):
    for call in (lambda e: e.save(tmp_path / "a"), lambda e: e.card()):
        with pytest.raises(NotFittedError):
            call(gc.NaiveForecaster())


class Mine(gc.NaiveForecaster):
    pass


def with_parameter(estimator, **parameters):
    return copy.deepcopy(estimator).set_params(**parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"transformer": Shift()}, r"transformer=Shift\(\) can not be saved .*MinMaxTransformer, Anomaly.*joblib"),
        ({"transformer": StandardScaler()}, r"transformer=StandardScaler\(\) can not be saved"),
        ({"verbose": print}, r"verbose=<built-in function print> can not be saved"),
        ({"random_state": np.random.Generator(np.random.MT19937(0))}, "random_state=.*of MT19937 can not be saved"),
    ],
)
def test_a_parameter_that_can_not_be_saved_is_named(dmm, parameters, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        with_parameter(dmm, **parameters).save(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_fitted_transformer_of_someone_else_is_named(dmm, tmp_path):
    estimator = gc.ConvLSTMForecaster(rnn_channels=4, transformer=Shift(), **TRAINING).fit(TRAIN)
    estimator.transformer = gc.MinMaxTransformer()
    with pytest.raises(
        ValueError, match=r"transformer=.* can not be saved: use MinMaxTransformer, LogTransformer or Anomaly"
    ):
        estimator.save(tmp_path / "a")


def test_attributes_that_can_not_be_saved_are_left_out_with_one_warning(tmp_path):
    noted = TRAIN.assign_attrs(source=print, start=pd.Timestamp("2001"), raw=b"a", flags={1}, parts=[datetime.now()])
    noted.time.attrs["origin"] = noted.lat.attrs["folder"] = tmp_path
    estimator = gc.NaiveForecaster().fit(noted)
    with pytest.warns(UserWarning, match="attributes that a file can not hold are left out") as warned:
        loaded = reopened(estimator, tmp_path)
    assert len(warned) == 1
    message = str(warned[0].message)
    for place in ("grid/attrs/source", "grid/attrs/raw", "grid/coords/lat/2/folder", "recent/time_attrs/origin"):
        assert f"learned/{place}" in message
    xr.testing.assert_equal(loaded.predict(2), estimator.predict(2))
    assert loaded.grid_.attrs.keys() == {*TRAIN.attrs, "start"}
    # the way out
    plain = noted.assign_attrs({name: str(value) for name, value in noted.attrs.items()})
    plain.time.attrs["origin"] = plain.lat.attrs["folder"] = str(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.NaiveForecaster().fit(plain).save(tmp_path / "b")


def test_a_class_of_someone_else_is_not_saved(tmp_path):
    with pytest.raises(TypeError, match=r"Mine is not registered.*gridcast.forecasters.forecaster.*joblib"):
        Mine().fit(TRAIN).save(tmp_path / "a")


def test_a_device_that_is_not_there_is_refused(dmm, tmp_path):
    dmm.save(tmp_path / "a")
    with pytest.raises(ValueError, match=r"^device='tpu' is unknown"):
        gc.load(tmp_path / "a", device="tpu")


# Files that are no forecasters; those that are no files of gridcast are in tests/persistence/test_container.py


def set_at(*place, to):
    """Return a change of the document: the value at `place` becomes `to`, or goes where that is None."""

    def change(values, arrays):
        at = values
        for name in place[:-1]:
            at = at[name]
        if to is DELETE:
            del at[place[-1]]
        else:
            at[place[-1]] = to

    return change


def array(name, make):
    def change(values, arrays):
        if make is None:
            del arrays[name]
        else:
            arrays[name] = make(arrays.get(name))

    return change


DELETE = object()
LEARNED, GRID, RECENT = "learned", ("learned", "grid"), ("learned", "recent")
WEIGHT = "learned/module/transition.linear.weight"
TUPLE = {"$type": "tuple", "items": []}
GENERATOR = {
    "$type": "RandomState",
    "key": {"$type": "array", "name": "key"},
    "position": 10**6,
    "has_gauss": 0,
    "gauss": 0.0,
}

MALFORMED = {
    "no class": (set_at("class", to=DELETE), "its sections are"),
    "further section": (set_at("code", to="import os"), "its sections are .*'code'"),
    "unknown class": (set_at("class", to="os.system"), "class='os.system' is no forecaster that is known here.*import"),
    "base class": (set_at("class", to="NeuralForecaster"), "NeuralForecaster has no parameters"),
    "class of a list": (set_at("class", to=["DMMForecaster"]), r"class=\['DMMForecaster'\] is no forecaster"),
    "another class": (set_at("class", to="CNMMForecaster"), r"CNMMForecaster has no parameters \['encoder_features'\]"),
    "parameters of a list": (set_at("parameters", to=[1]), "parameters is a list, expected dict"),
    "unknown parameter": (set_at("parameters", "hook", to=1), r"DMMForecaster has no parameters \['hook'\]: a newer"),
    "callbacks": (set_at("parameters", "callbacks", to=["os.system"]), r"has no parameters \['callbacks'\]"),
    "parameter type": (set_at("parameters", "window", to="eight"), "window='eight'"),
    "parameter value": (set_at("parameters", "window", to=0), "window=0 must be an integer of at least 2"),
    "parameter choice": (set_at("parameters", "architecture", to="magic"), "architecture='magic' is unknown"),
    "settings of a list": (set_at("parameters", "training", "parameters", to=[1]), "Training is made of list"),
    "setting value": (set_at("parameters", "training", "parameters", "patience", to=0), "patience=0 must be"),
    "unknown setting": (
        set_at("parameters", "training", "parameters", "hook", to=1),
        "Training has no parameter 'hook'",
    ),
    "callbacks in the settings": (
        set_at("parameters", "training", "parameters", "callbacks", to=["os.system"]),
        "callbacks holds 'os.system'",
    ),
    "unknown type": (
        set_at("parameters", "transformer", "$type", to="subprocess.Popen"),
        "'subprocess.Popen' is no type",
    ),
    "parts of a type": (set_at("parameters", "transformer", "x", to=1), "a MinMaxTransformer consists of"),
    "transformer parameter": (
        set_at("parameters", "transformer", "parameters", to={"evil": 1}),
        "parameters/transformer: this is no MinMaxTransformer .*evil",
    ),
    "random state": (
        lambda v, a: (set_at("parameters", "random_state", to=GENERATOR)(v, a), a.update(key=np.zeros(624, np.uint32))),
        "position=1000000 or has_gauss=0 is out of range",
    ),
    "other sizes": (set_at("parameters", "latent_channels", to=5), "the parameters ask for"),
    "huge sizes": (set_at("parameters", "latent_channels", to=10**7), "the parameters ask for"),
    "impossible sizes": (set_at("parameters", "latent_channels", to=10**30), "the parameters make no module"),
    "negative sizes": (set_at("parameters", "encoder_features", to=-1), "encoder_features=-1 must be"),
    "float sizes": (set_at("parameters", "encoder_features", to=8.5), "encoder_features=8.5 must be"),
    "learned of a list": (set_at(LEARNED, to=[]), "learned is a list, expected dict"),
    "no grid": (set_at(*GRID, to=DELETE), r"learned lacks \['grid'\]"),
    "grid of text": (set_at(*GRID, to="grid"), "learned/grid is a str, expected Grid"),
    "grid sizes": (set_at(*GRID, "shape", "items", to=[1, -8, 12]), r"shape=\(1, -8, 12\) is not"),
    "bool sizes": (set_at(*GRID, "shape", "items", to=[True, 8, 12]), r"shape=\(True, 8, 12\) is not"),
    "larger grid": (
        set_at(*GRID, "shape", "items", to=[1, 80, 12]),
        "a coordinate has 8 entries along 'lat', the field 80",
    ),
    "more channels": (set_at(*GRID, "shape", "items", to=[2, 8, 12]), "do not name a field of shape"),
    "dims": (set_at(*GRID, "dims", "items", to=["lat", "lat"]), r"dims=\('lat', 'lat'\) do not name a field"),
    "unhashable dims": (set_at(*GRID, "dims", "items", to=[{}, []]), "learned/grid: this is no Grid"),
    "calendar kind": (set_at(LEARNED, "calendar", "kind", to="lunar"), "kind='lunar' or axis='datetime64' is unknown"),
    "calendar step": (set_at(LEARNED, "calendar", "step", to=0), "step=0 must be positive"),
    "infinite step": (
        set_at(LEARNED, "calendar", "step", to={"$type": "float", "value": "inf"}),
        "step=inf must be positive",
    ),
    "other axis": (set_at(LEARNED, "calendar", "axis", to="noleap"), "its time axis is datetime64"),
    "ends": (set_at(LEARNED, "trained_on", to=TUPLE), "trained_on=.* is not a first and a last time"),
    "end of text": (
        set_at(LEARNED, "trained_on", to={"$type": "tuple", "items": ["a", "b"]}),
        "learned/trained_on is a str, expected Timestamp",
    ),
    "times": (set_at(*RECENT, "times", to=[1, 2]), "learned/recent/times is a list, expected Index"),
    "a gap in the times": (array("learned/recent/times/values", lambda t: t * 2), "X: "),
    "recent values": (array("learned/recent/values", lambda x: x[:, :-1]), "learned/recent/values has the shape"),
    "recent type": (array("learned/recent/values", lambda x: x.astype(int)), "learned/recent/values .*int64, expected"),
    "recent samples": (set_at(*RECENT, "samples", to=3), "learned/recent/samples is a int, expected DataArray"),
    "missing share": (
        set_at(LEARNED, "missing_share", to="1"),
        "learned/missing_share is a str, expected int or float",
    ),
    "statistics": (set_at(LEARNED, "statistics", to=None), "learned/statistics is a NoneType"),
    "statistics shape": (array("learned/statistics/std", lambda x: x[:, :2]), "std has the shape"),
    "statistics type": (array("learned/statistics/observed", lambda x: x * 1.0), "observed has the shape .*float64"),
    "no transformer": (set_at(LEARNED, "transformer", to=None), "learned/transformer is a NoneType, expected MinMax"),
    "unfitted transformer": (set_at(LEARNED, "transformer", "learned", to={}), "data_min_ is a NoneType"),
    "data range": (array("learned/transformer/learned/data_max_", lambda x: x - 1000), "has no width"),
    "climatology": (
        array("learned/climatology/learned/cycle_", lambda x: x[..., :5]),
        "learned/climatology has the shape",
    ),
    "compared": (set_at(LEARNED, "compared", to=[1.0]), "learned/compared is a list, expected dict"),
    "a score of text": (
        set_at(LEARNED, "compared", to={"mean": "1"}),
        "learned/compared/mean is a str, expected float",
    ),
    "phases": (set_at(LEARNED, "climatology", "learned", "n_phases_", to=99), "is no period of 99 steps"),
    "windows": (set_at(LEARNED, "n_windows", to=0), "learned/n_windows=0 must be at least 1"),
    "windows of text": (set_at(LEARNED, "n_windows", to="many"), "learned/n_windows is a str"),
    "history": (set_at(LEARNED, "history", to={"loss": 1}), "learned/history is a dict, expected list"),
    "record": (set_at(LEARNED, "history", to=[{"loss": "low"}]), "learned/history/loss is a str"),
    "more learned": (set_at(LEARNED, "hook", to=1), r"learned holds \['hook'\], which a DMMForecaster does not learn"),
    "weight missing": (
        set_at(LEARNED, "module", "transition.linear.weight", to=DELETE),
        r"the weights \['transition.linear.weight'\] are missing",
    ),
    "array missing": (array(WEIGHT, None), f"the array '{WEIGHT}' is missing"),
    "array surplus": (array("extra", lambda _: np.zeros(3)), r"the arrays \['extra'\] belong to nothing"),
    "weight surplus": (set_at(LEARNED, "module", "hook", to=1), r"the weights \['hook'\] belong to no part"),
    "weight of text": (set_at(LEARNED, "module", "start", to="0"), "learned/module/start is a str"),
    "weight shape": (array(WEIGHT, lambda x: x[:2]), r"transition.linear.weight are \(2, 4\) of torch.float32"),
    "weight type": (array(WEIGHT, lambda x: x.astype(np.float64)), "are .* of torch.float64, the parameters ask for"),
    "one array for two": (
        set_at(LEARNED, "module", "start", "name", to=WEIGHT),
        "is missing or stands for two values",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_file_that_is_no_forecaster_is_refused(dmm, case, tmp_path):
    change, message = MALFORMED[case]
    path = tmp_path / "model.gridcast"
    dmm.save(path)
    values, arrays, text = read_file(path)
    change(values, arrays)
    write_file(path, values, arrays, text)
    with pytest.raises(
        ValueError, match=r"path='.*model.gridcast' holds no forecaster that can be opened .*" + message
    ):
        gc.load(path, device="cpu")


def assert_refused(forecaster, change, message, path):
    """Save a fitted forecaster, tamper with the file, and see it refused."""
    forecaster.fit(TRAIN).save(path)
    values, arrays, text = read_file(path)
    change(values, arrays)
    write_file(path, values, arrays, text)
    with pytest.raises(ValueError, match="holds no forecaster that can be opened .*" + message):
        gc.load(path)


LOG = {
    "no bound": (set_at(LEARNED, "transformer", "learned", "bound_", to=DELETE), "it learned .*expected .*'bound_'"),
    "bound": (array("learned/transformer/learned/bound_", lambda x: x * np.nan), "the bound or the offset is not fin"),
    "offset": (array("learned/transformer/learned/offset_", lambda x: x * 0), "the offset is not positive"),
    "offsets": (array("learned/transformer/learned/offset_", lambda x: np.tile(x, 2)), "offset_ has the shape"),
    "data range": (array("learned/transformer/learned/data_max_", lambda x: x - 1000), "ends before it begins"),
    "feature range": (
        set_at(LEARNED, "transformer", "parameters", "feature_range", "items", to=[1, -1]),
        r"feature_range=\(1, -1\) has no width",
    ),
}


@pytest.mark.parametrize("case", LOG)
def test_a_file_whose_logarithm_is_none_is_refused(case, tmp_path):
    change, message = LOG[case]
    assert_refused(VARIANTS["linear log"](), change, message, tmp_path / "model.gridcast")


def test_a_pipeline_keeps_its_logarithm(tmp_path):
    steps = [("log", gc.LogTransformer(bound=200)), ("naive", gc.NaiveForecaster(random_state=0))]
    pipeline = gc.ForecastPipeline(steps).fit(TRAIN)
    pipeline.save(tmp_path / "pipeline.gridcast")
    loaded = gc.load(tmp_path / "pipeline.gridcast")
    xr.testing.assert_identical(pipeline.predict_samples(3), loaded.predict_samples(3))
    assert vars(loaded[0]).keys() == vars(pipeline[0]).keys()


def test_a_pipeline_keeps_the_labels_of_its_channels(tmp_path):
    levels = xr.concat([TRAIN, TRAIN + 1], "level").assign_coords(level=[500, 850]).transpose("time", "level", ...)
    steps = [("scale", gc.MinMaxTransformer()), ("naive", gc.NaiveForecaster(random_state=0))]
    pipeline = gc.ForecastPipeline(steps).fit(levels)
    loaded = reopened(pipeline, tmp_path)
    xr.testing.assert_identical(loaded[0].channels_, pipeline[0].channels_)
    with pytest.raises(ValueError, match=r"other labels along 'level' \(850 to 500\)"):
        loaded.predict(levels[:, ::-1])
    del pipeline[0].channels_  # as older files are
    xr.testing.assert_identical(reopened(pipeline, tmp_path).predict(2), pipeline.predict(2))
    pipeline[0].channels_ = levels.lat
    with pytest.raises(ValueError, match=r"holds no .*channels_ has the shape"):
        reopened(pipeline, tmp_path)


NAIVE = {
    "no archive": (set_at(LEARNED, "archive", to=DELETE), r"learned lacks \['archive'\]"),
    "more learned": (
        set_at(LEARNED, "hook", to=1),
        r"learned holds \['hook'\], which a NaiveForecaster does not learn",
    ),
    "more of the history": (set_at(*RECENT, "hook", to=1), r"learned/recent holds \['hook'\]"),
    "no times": (set_at(*RECENT, "times", to=DELETE), r"learned lacks \['times'\]"),
    "strategy": (set_at("parameters", "strategy", to="oracle"), "strategy='oracle' is unknown"),
    "mean": (array("learned/mean", lambda x: x[:, :3]), "learned/mean has the shape"),
    "archive": (array("learned/archive", lambda x: x[:, 1:]), "learned/archive has the shape"),
    "no cycle": (set_at(LEARNED, "cycle", to=None), "learned/cycle is a NoneType"),
    "period": (set_at(LEARNED, "cycle", "learned", "period_", to="week"), "period_='week' is no period"),
}


@pytest.mark.parametrize("case", NAIVE)
def test_a_file_that_is_no_naive_forecaster_is_refused(case, tmp_path):
    change, message = NAIVE[case]
    assert_refused(ESTIMATORS["seasonal"](), change, message, tmp_path / "model.gridcast")


def test_parameters_that_came_later_have_their_defaults(dmm, tmp_path):
    path = tmp_path / "model.gridcast"
    dmm.save(path)
    values, arrays, text = read_file(path)
    del values["parameters"]["static"]
    write_file(path, values, arrays, text)
    assert_same(dmm, gc.load(path, device="cpu"))


def test_the_global_random_state_and_the_memory_are_left_alone_by_huge_sizes(dmm, tmp_path):
    path = tmp_path / "model.gridcast"
    dmm.save(path)
    values, arrays, text = read_file(path)
    values["parameters"]["rnn_channels"] = 10**6  # 32 TB of weights
    write_file(path, values, arrays, text)
    with pytest.raises(ValueError, match="the parameters ask for"):
        gc.load(path, device="cpu")


# The card


def rows(card, heading):
    """Return the table under a heading as a mapping of its first to its last column."""
    table = card.split(f"## {heading}\n\n")[1].split("\n\n")[0]
    lines = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]
    return {line[0]: line[-1] for line in lines}


def test_a_card_says_what_the_model_is_made_of(dmm):
    card = dmm.card()
    assert card.startswith("# DMMForecaster\n\nDeep Markov model")
    assert "Sensors 2020, 20, 4195" in card
    data, training = rows(card, "Data"), rows(card, "Training")
    assert data["name"] == "t2m"
    assert data["long name"] == "temperature \\| 2 m"
    assert data["units"] == "K"
    assert data["dimensions of a field"] == "lat: 8, lon: 12"
    assert data["period"] == "2001-01-01 00:00:00 to 2001-02-09 00:00:00, 40 steps"
    assert data["step"] == "1 day"
    assert data["missing values"] == "0.00%"
    assert data["extent of lat"] == "60 to 20 degrees_north"
    assert training["epochs"] == "1"
    assert training["trained weights"] == f"{dmm.n_parameters_:,}"
    best = dmm.history_[0]["validation_error"]
    assert float(training["best validation error (scaled data, squared)"]) == pytest.approx(best, rel=1e-4)
    changed, kept = (rows(card, f"Parameters {end}") for end in ("that differ from the defaults", "at their defaults"))
    assert changed["window"] == "`8`"
    settings = gc.Training().get_params().keys() - {"callbacks", "checkpoint_dir"}
    own = dmm.get_params(deep=False).keys() - {"training"}
    assert changed.keys() | kept.keys() == own | {f"training__{name}" for name in settings}
    assert kept["transformer"] == "`MinMaxTransformer()`"
    assert "encoder_channels" in changed
    assert "emitter_channels" in rows(
        with_parameter(dmm, emitter_channels=[64, 32]).card(), "Parameters at their defaults"
    )
    assert rows(card, "Versions")["gridcast"] == gc.__version__


def test_a_card_of_a_series_with_gaps_samples_and_without_labels():
    series = make_series(lead=(2,))
    seen = series.where(np.arange(N_TRAIN + N_TEST)[:, None, None] % 4 != 1)
    data = rows(gc.NaiveForecaster().fit(seen).card(), "Data")
    assert data["missing values"] == f"{13 / 50:.2%}"
    assert data["samples"] == "2"
    data = rows(gc.NaiveForecaster().fit(series[0].values).card(), "Data")
    assert (data["name"], data["units"], data["period"]) == ("unnamed", "not given", "0 to 49, 50 steps")
    assert "extent of y" not in data


@pytest.mark.parametrize(
    ("scores", "head", "row"),
    [
        ({"MSE": 1.25, "skill": np.float32(0.5)}, "| score | value |", "| MSE | 1.25 |"),
        ({"MSE": {"day 1": 1.0, "day 2": 2}, "n": 3}, "| score | day 1 | day 2 |  |", "| MSE | 1 | 2 |  |"),
        (
            xr.Dataset({"mse": ("lead", [1.0, 2.5]), "bias": ("lead", [0, 0.1])}, coords={"lead": [1, 2]}),
            "| lead | mse | bias |",
            "| 2 | 2.5 | 0.1 |",
        ),
        (xr.Dataset({"mse": 1.0, "bias": 0.125}), "| mse | bias |", "| 1 | 0.125 |"),
        (
            xr.Dataset({"mse": (("a", "b"), [[1.0, 2.0]])}, coords={"a": ["x"], "b": [5, 6]}),
            "| a | b | mse |",
            "| x | 6 | 2 |",
        ),
    ],
)
def test_scores_are_a_table_of_the_card_and_of_the_file(dmm, scores, head, row, tmp_path):
    table = dmm.card(scores=scores).split("## Scores\n\n")[1].split("\n\n")[0].splitlines()
    assert table[0] == head
    assert row in table[2:]
    dmm.save(tmp_path / "a", scores=scores)
    assert read_file(tmp_path / "a")[2] == dmm.card(scores)


def test_scores_that_are_none_are_named(dmm):
    with pytest.raises(TypeError, match="scores is a list: give a mapping"):
        dmm.card(scores=[1])
    with pytest.raises(ValueError, match=r"scores is a Dataset of the sizes .*, 10000 rows; the most is 1000"):
        dmm.card(scores=xr.Dataset({"mse": (("y", "x"), np.zeros((100, 100)))}))


def test_what_a_file_holds_is_for_anyone_to_read(dmm, tmp_path):
    dmm.save(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.read(TEXT).decode() == dmm.card()
        document = json.loads(archive.read(VALUES))
        assert not re.search(rb"pickle", archive.read(ARRAYS))
    assert document["class"] == "DMMForecaster"
    assert document["parameters"]["window"] == WINDOW
    assert document["learned"]["history"] == dmm.history_
    with pytest.raises(pickle.UnpicklingError):
        pickle.load(io.BytesIO((tmp_path / "a").read_bytes()))
