"""The presets hold Tables 3 and 4 of the paper, and the forecasters take them."""

import numpy as np
import pytest

import gridcast as gc

FORECASTERS = {"convlstm": gc.ConvLSTMForecaster, "dmm": gc.DMMForecaster, "cnmm": gc.CNMMForecaster}


@pytest.mark.parametrize("experiment", ["heat", "cmap"])
@pytest.mark.parametrize("model", FORECASTERS)
def test_a_forecaster_takes_its_preset_and_trains(model, experiment):
    given = gc.presets.paper(model, experiment)
    series = 10 * np.random.default_rng(0).random((40, 12, 12), dtype=np.float32)
    forecaster = FORECASTERS[model](**given | {"max_epochs": 1, "random_state": 0}).set_params(training__stride=100)
    assert np.isfinite(forecaster.fit(series).predict(2)).all()


@pytest.mark.parametrize(
    ("model", "experiment", "expected"),
    [
        ("cnmm", "heat", {"latent_channels": 64, "learning_rate": 5e-5, "max_epochs": 300, "batch_size": 16}),
        (
            "cnmm",
            "cmap",
            {"latent_channels": 16, "learning_rate": 1e-4, "max_epochs": 150, "encoder_channels": (32, 64)},
        ),
        ("dmm", "cmap", {"latent_channels": 50, "rnn_channels": 128, "encoder_features": 256}),
        ("convlstm", "heat", {"rnn_channels": 64, "n_states": 10, "context": 20, "max_epochs": 100}),
    ],
)
def test_values_of_the_tables(model, experiment, expected):
    given = gc.presets.paper(model, experiment)
    assert {name: given[name] for name in expected} == expected
    assert given["architecture"] == "paper"
    assert given["training"].gradient_clip == (None if model == "convlstm" else 10.0)
    assert given["transformer"].data_range == {"heat": (0, 1000), "cmap": (0, 80)}[experiment]


def test_a_preset_is_a_new_dict_each_time():
    gc.presets.paper("cnmm", "heat")["window"] = 5
    assert gc.presets.paper("cnmm", "heat")["window"] == 30


@pytest.mark.parametrize(("model", "experiment"), [("cnn", "heat"), ("cnmm", "ocean"), (None, "heat")])
def test_an_unknown_preset(model, experiment):
    with pytest.raises(ValueError, match=rf"model={model!r} on experiment={experiment!r}: use"):
        gc.presets.paper(model, experiment)
