"""Parameters are said once: defaults, checks, documentation and hints come from one declaration."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone

import gridcast as gc
from gridcast.data.parameters import (
    Parameters,
    changed_parameters,
    channels,
    choice,
    flag,
    parameter,
    parameters,
    real,
    shown,
    whole,
)

CLASSES = [gc.NaiveForecaster, gc.LinearForecaster, gc.ConvLSTMForecaster, gc.DMMForecaster, gc.CNMMForecaster]
MOST = 25


@parameters
class Base(Parameters):
    """A base.

    Attributes
    ----------
    x_ : int
    """

    size: int = parameter(whole(), "int", "How large it is.", default=3)


@parameters
class Derived(Base):
    """Something more."""

    size: int = parameter(whole(2), "int", "How large this is.", default=5)
    kind: str = parameter(choice("a", "b"), '{"a", "b"}', "Which one.", default="a")
    inner: Base = parameter(lambda name, value: None, "Base", "What is inside.", default=Base())


def test_a_default_is_changed_by_a_subclass_and_the_signature_is_real():
    assert (Base().size, Derived().size) == (3, 5)
    assert list(inspect.signature(Derived).parameters) == ["size", "kind", "inner"]
    with pytest.raises(TypeError):
        Derived(3)  # by name alone


def test_the_docstring_has_a_section_of_all_parameters_before_the_other_sections():
    assert Base.__doc__.index("size : int, default=3") < Base.__doc__.index("Attributes")
    lines = Derived.__doc__.splitlines()
    assert lines[2:5] == ["Parameters", "----------", "size : int, default=5"]
    assert "    Which one." in lines


def test_nested_objects_are_checked_and_changed_without_touching_the_shared_default():
    derived = Derived().set_params(inner__size=7, size=4)
    assert (derived.size, derived.inner.size, Derived().inner.size) == (4, 7, 3)
    assert derived.get_params()["inner__size"] == 7
    with pytest.raises(ValueError, match="size=0 must be an integer of at least 1"):
        clone(derived).set_params(inner__size=0).check_parameters()
    with pytest.raises(ValueError, match="kind='a' has no parameters of its own"):
        derived.set_params(kind__size=1)


def test_each_instance_has_a_default_of_its_own_and_keeps_what_it_is_given():
    one, other, given = Derived(), Derived(), Base()
    one.inner.size = 9
    assert (other.inner.size, Derived().inner.size) == (3, 3)
    assert Derived(inner=given).inner is given
    assert clone(one).inner.size == 9
    model, untouched = gc.CNMMForecaster(), gc.ConvLSTMForecaster()
    model.transformer.feature_range, model.training.patience = (0, 1), 2
    assert untouched.transformer.feature_range == gc.CNMMForecaster().transformer.feature_range == (-1, 1)
    assert gc.CNMMForecaster().training.patience == gc.Training().patience
    assert repr(gc.CNMMForecaster()) == "CNMMForecaster()"


@pytest.mark.parametrize(
    ("check", "good", "bad", "message"),
    [
        (whole(), [1, np.int64(7)], [0, 1.0, True, None, "1"], "must be an integer of at least 1"),
        (whole(2, none=True), [2, None], [1], "must be an integer of at least 2"),
        (real(lambda v: v > 0, "be positive"), [1, 0.5, np.float32(2)], [0, -1.0], "must be positive"),
        (real(lambda v: v > 0, "be positive"), [1], ["1", None, True], "must be a number"),
        (choice("a", "b"), ["a", "b"], ["c", None, ["a"]], 'is unknown: use "a" or "b"'),
        (channels, [(1, 2), [3, 4]], [(1,), 3, "ab"], "must be the channels of two layers"),
        (flag, [True, np.False_], [1, "yes", None], "must be True or False"),
    ],
)
def test_checks_take_the_good_and_name_the_bad(check, good, bad, message):
    for value in good:
        check("name", value)
    for value in bad:
        with pytest.raises(ValueError, match=message) as error:
            check("name", value)
        assert str(error.value).startswith(f"name={value!r}")
        assert isinstance(error.value, TypeError)  # scikit-learn's error for parameters is both


def test_a_repr_has_the_changed_parameters_and_no_numbers_of_arrays():
    field = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("lat", "lon"))
    model = gc.CNMMForecaster(static=[field, np.ones((2, 3))], learning_rate=1e-4, training=gc.Training(patience=3))
    assert repr(gc.CNMMForecaster()) == "CNMMForecaster()"
    assert repr(model) == (
        "CNMMForecaster(learning_rate=0.0001, static=[<DataArray (lat: 2, lon: 3)>, "
        "<ndarray of float64, shape (2, 3)>], training=Training(patience=3))"
    )
    assert changed_parameters(model).keys() == {"static", "learning_rate", "training"}
    assert "3., 4., 5." not in model._repr_html_()  # scikit-learn's diagram cuts what is long
    assert shown(np.random.default_rng(0)) == "Generator"
    assert len(repr(gc.CNMMForecaster(static=[field] * 100))) <= 700


@pytest.mark.parametrize("cls", CLASSES)
def test_a_class_has_few_parameters_and_each_is_used(cls):
    names = list(inspect.signature(cls).parameters)
    assert len(names) <= MOST
    package = Path(gc.__file__).parent
    used = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                used.add(node.attr)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
                used |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    assert [name for name in names if name not in used] == []


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_is_documented_with_its_default(cls):
    for name, p in inspect.signature(cls).parameters.items():
        assert f"\n{name} : " in cls.__doc__
        assert p.default is not inspect.Parameter.empty
