"""The settings of a training."""

import pytest
from sklearn.base import clone
from small import small

import gridcast as gc
from gridcast.training.settings import checkpoint_interval


def test_settings_are_searched_and_cloned_as_those_of_any_estimator():
    settings = gc.Training(patience=3)
    assert clone(settings).patience == 3
    model = small("convlstm").set_params(training__patience=2)
    assert model.training.patience == 2
    assert small("convlstm").training.patience is None
    with pytest.raises(TypeError, match="Training has no parameter 'patients': did you mean 'patience'"):
        gc.Training(patients=3)


@pytest.mark.parametrize(
    ("every", "expected"), [(7, (7, None)), ("90s", (None, 90.0)), ("5min", (None, 300.0)), ("1h", (None, 3600.0))]
)
def test_an_interval_is_steps_or_a_duration(every, expected):
    assert checkpoint_interval(every) == expected


@pytest.mark.parametrize("every", [0, -1, True, "soon", "-5min", 2.5, None])
def test_what_is_no_interval_is_named(every):
    with pytest.raises(ValueError, match=f"checkpoint_every={every!r} must be a number of steps or a duration"):
        checkpoint_interval(every)
