"""Values as JSON beside arrays, and back: the same to the last bit, or an error that says what."""

import datetime
import json
import math
from pathlib import Path

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast.persistence import encoding
from gridcast.persistence.encoding import Decoder, Encoder, Form


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y


POINT = Form(Point, ("x", "y"), lambda p: (p.x, p.y), Point)


def there_and_back(value):
    encoder = Encoder()
    plain = json.loads(json.dumps(encoder.encode(value, "v"), allow_nan=False))
    decoder = Decoder(encoder.arrays)
    back = decoder.decode(plain, "v")
    decoder.check_all_used()
    return back


def cf_times(calendar, use_cftime=True):
    return xr.date_range("2000-01-01", periods=4, freq="MS", calendar=calendar, use_cftime=use_cftime)


PLAIN = [
    None,
    True,
    0,
    -(2**70),
    0.1,
    5e-324,
    "",
    "\u00e4\ud800",
    [],
    (),
    {},
    [1, [2.5, None]],
    (1, (2, [3])),
    {"a": {"b": (1,)}},
    {1: "a", None: "b", (1, 2): "c"},
    {"$type": "tuple"},
    math.inf,
    -math.inf,
]
ARRAYS = [
    np.arange(6, dtype=np.int8).reshape(2, 3),
    np.array(1.5),
    np.zeros((0, 2), np.float32),
    np.array([True]),
    np.array([1, 2], ">f4"),
    np.float32(0.1) * np.ones(3, np.float16),
    np.array([0.0, -0.0, np.nan, np.inf]),
    np.array(["2000-01-01", "NaT"], "M8[ns]"),
    np.array([1, 2], "m8[h]"),
    np.array("2000-01", "M8[M]"),
    np.array(["a", "bcd"]),
    np.array([["a"], ["\u00e4"]], dtype=object),
    np.array([b"a", b"\xff"]),
    np.array([], dtype="U3"),
    np.array([cftime.DatetimeNoLeap(2000, 1, 1, 1, 2, 3, 4)]),
    np.array([[cftime.datetime(1, 2, 30, calendar="360_day")]]),
]
SCALARS = [
    np.float32(0.1),
    np.int64(3),
    np.bool_(True),
    np.datetime64("2000-01-01T00", "h"),
    np.timedelta64(5, "s"),
    np.float64("nan"),
    pd.Timestamp("2000-01-01 00:00:00.123456789"),
    pd.Timestamp("1000-01-01"),
    cftime.DatetimeProlepticGregorian(1, 2, 3),
    cftime.datetime(2000, 1, 1, calendar="noleap", has_year_zero=True),
]
INDEXES = [
    pd.date_range("2000-01-01", periods=3),
    pd.date_range("2000", periods=3, unit="s", name="time"),
    pd.Index([1, 5]),
    pd.Index([0.5, 1.5], name="t", dtype=np.float32),
    pd.RangeIndex(3, 9, 2, name="time"),
    *(cf_times(c) for c in ("noleap", "360_day", "all_leap", "julian", "standard", "proleptic_gregorian")),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values(value):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


def test_nan_and_text_of_numpy():
    assert math.isnan(there_and_back(math.nan))
    assert there_and_back(np.str_("a")) == "a"


@pytest.mark.parametrize("value", ARRAYS, ids=repr)
def test_arrays(value):
    back = there_and_back(value)
    assert back.shape == value.shape
    assert back.dtype.newbyteorder("=") == value.dtype.newbyteorder("=") or value.dtype.kind == "U"
    np.testing.assert_array_equal(back, value)
    if value.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(back), np.signbit(value))
    if value.dtype.kind == "O":
        assert [type(item) for item in back.ravel()] == [type(item) for item in value.ravel()]


def test_text_of_any_length_comes_back_as_objects():
    text = np.array([["a"], ["\u00e4bc"]], dtype=np.dtypes.StringDType())
    back = there_and_back(text)
    assert back.dtype == object
    np.testing.assert_array_equal(back, text.astype(object))


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_scalars(value):
    back = there_and_back(value)
    assert type(back) is type(value)
    assert back == value or (back != back and value != value)
    assert getattr(back, "unit", None) == getattr(value, "unit", None)
    assert getattr(back, "has_year_zero", None) == getattr(value, "has_year_zero", None)


@pytest.mark.parametrize("value", INDEXES, ids=repr)
def test_indexes(value):
    back = there_and_back(value)
    assert type(back) is type(value)
    assert back.equals(value)
    assert (back.name, back.dtype) == (value.name, value.dtype)
    assert type(back[0]) is type(value[0])


def test_dataarray_and_dataset_are_identical():
    x = xr.DataArray(
        np.arange(6.0).reshape(2, 3),
        dims=("lat", "lon"),
        coords={
            "lat": ("lat", [10.0, 20.0], {"units": "degrees_north"}),
            "lon": ["a", "b", "c"],
            "area": (("lat", "lon"), np.ones((2, 3), np.float32)),
            "when": np.datetime64("2000-01-01", "ns"),
            "ok": ("lat", [True, False]),
        },
        name="x",
        attrs={"units": "m", "scale": np.float32(0.1), "flags": np.array([1, 2], np.int8), "list": ["a", 1]},
    )
    xr.testing.assert_identical(there_and_back(x), x)
    data = xr.Dataset({"x": x.rename("x"), "mask": ("lat", [0, 1])}, attrs={"title": "t"})
    xr.testing.assert_identical(there_and_back(data), data)
    xr.testing.assert_identical(there_and_back(x.chunk(lat=1)), x)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda: 0, "v: a function can not be saved"),
        ({1, 2}, "v: a set can not be saved"),
        ({"a": [Point(1, 2)]}, "v/a/0: a Point can not be saved"),
        (np.array([1j]), "v: an array of complex128 can not be saved"),
        (np.array([None, "a"]), "v: an array of objects other than text or dates can not be saved"),
        (np.array([1], np.longdouble), "v: an array of"),
    ],
)
def test_what_has_no_form_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        Encoder().encode(value, "v")


def test_a_further_form_is_of_its_class_alone():
    encoder = Encoder([POINT])
    plain = encoder.encode([Point(1, np.arange(3)), Point(None, 2)], "v")
    back = Decoder(encoder.arrays, [POINT]).decode(plain, "v")
    assert back[0].y.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="'Point' is no type"):
        Decoder(encoder.arrays).decode(plain, "v")

    class Sub(Point):
        pass

    with pytest.raises(ValueError, match="a Sub can not be saved"):
        encoder.encode(Sub(1, 2), "v")


def test_two_arrays_of_one_name_are_kept_apart():
    encoder = Encoder()
    plain = encoder.encode({"a": {"b": np.array([1])}, "a/b": np.array([2])}, "v")
    back = Decoder(encoder.arrays).decode(plain, "v")
    assert back == {"a": {"b": [1]}, "a/b": [2]}


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"$type": "os.system", "items": []}, "v: 'os.system' is no type that gridcast knows"),
        ({"$type": ["tuple"], "items": []}, "is no type that gridcast knows"),
        ({"$type": "tuple"}, r"v: a tuple consists of \['items'\], not of \[\]"),
        ({"$type": "tuple", "items": 3}, "v: this is no tuple .a list was expected, not int"),
        ({"$type": "dict", "items": [[[], 1]]}, "v: this is no dict .*unhashable"),
        ({"$type": "dict", "items": [1]}, "v: this is no dict"),
        ({"$type": "float", "value": "1e5"}, "v: this is no float"),
        ({"$type": "array", "name": "b"}, "v: this is no array .the array 'b' is missing or stands for two values"),
        ({"$type": "array", "name": ["a"]}, "v: this is no array"),
        ([{"$type": "array", "name": "a"}, {"$type": "array", "name": "a"}], "v/1: .*stands for two values"),
        ({"$type": "time", "dtype": "<M8[us]", "name": "floats"}, "times are int64, not float64"),
        ({"$type": "time", "dtype": "O", "name": "a"}, "'O' is no type of times"),
        ({"$type": "text", "kind": "O", "shape": [1], "items": [3]}, "text was expected"),
        ({"$type": "text", "kind": "U", "shape": [2], "items": ["a"]}, "v: this is no text .*reshape"),
        (
            {"$type": "date", "class": "datetime", "calendar": "noleap", "year_zero": True, "name": "a"},
            "is not that of dates",
        ),
        (
            {"$type": "date", "class": "timedelta", "calendar": "noleap", "year_zero": True, "name": "dates"},
            "v: this is no date .'timedelta'",
        ),
        (
            {"$type": "date", "class": "datetime", "calendar": "noleap", "year_zero": True, "name": "dates"},
            "v: this is no date .*invalid month",
        ),
        ({"$type": "DatetimeIndex", "values": 3, "name": None}, "labels are an array of one dimension"),
        (
            {"$type": "CFTimeIndex", "values": {"$type": "array", "name": "a"}, "name": None},
            "v: this is no CFTimeIndex",
        ),
        ({"$type": "DatetimeNoLeap", "value": 3}, "a date was expected"),
        (
            {
                "$type": "DataArray",
                "values": {"$type": "array", "name": "a"},
                "dims": ["x", "y"],
                "coords": {},
                "name": None,
                "attrs": {},
            },
            "v: this is no DataArray .the dimensions",
        ),
    ],
)
def test_what_stands_for_nothing_is_refused(plain, message):
    arrays = {"a": np.arange(2), "floats": np.zeros(2), "dates": np.full((1, 7), 99)}
    with pytest.raises(ValueError, match=message):
        Decoder(arrays).decode(plain, "v")


TUPLE = {"$type": "tuple", "items": ["x"]}
RANGE = {"$type": "RangeIndex", "start": 0, "stop": 10**10, "step": 1, "name": None}
WIDE = {"$type": "text", "kind": "U", "shape": [3001], "items": ["x" * 10_000] + [""] * 3_000}
EMPTY = {"coords": {}, "name": None, "attrs": {}}
LARGE = {
    "text": ({**WIDE, "shape": [30_001], "items": WIDE["items"] * 10}, "bytes more than 134217728 and 4 times"),
    "many texts": ([WIDE, WIDE], "bytes more than"),
    "range": (RANGE, "bytes more than"),
    "many ranges": ([RANGE | {"stop": 10**6, "start": i} for i in range(20)], "bytes more than"),
    "a range as values": (
        {"$type": "DataArray", "values": RANGE | {"stop": 9}, "dims": TUPLE, **EMPTY},
        "not those of",
    ),
    "a number spread": ({"$type": "DataArray", "values": 0.5, "dims": TUPLE, **EMPTY}, "not those of an array"),
    "arrays to align": (
        {"$type": "Dataset", "variables": {"v": {"$type": "array", "name": "a"}}, "coords": {}, "attrs": {}},
        r"the variable 'v' is not of \(dims, values, attrs\)",
    ),
    "a range as coordinate": (
        {
            "$type": "Dataset",
            "variables": {},
            "coords": {"x": {"$type": "tuple", "items": [TUPLE, RANGE | {"stop": 9}, {}]}},
            "attrs": {},
        },
        "not those of an array",
    ),
}


@pytest.mark.parametrize("case", LARGE)
def test_what_is_far_larger_than_its_file_is_refused(case):
    plain, message = LARGE[case]
    with pytest.raises(ValueError, match=message):
        Decoder({"a": np.zeros(2)}).decode(plain, "v")


def test_a_file_may_take_a_few_times_its_arrays():
    n = encoding.MOST_BYTES // 8 + 1000
    plain = RANGE | {"stop": n}
    assert len(Decoder({"a": np.zeros(1000)}).decode(plain, "v")) == n
    with pytest.raises(ValueError, match="bytes more than"):
        Decoder({}).decode(plain, "v")


def test_attributes_without_a_form_are_left_out():
    attrs = {
        "units": "m",
        "start": datetime.datetime(2020, 1, 1),
        "raw": b"text",
        "place": Path("/data"),
        "of": [np.arange(2), {1, 2}],
        "complex": np.array([1j]),
        "deep": json.loads("[" * 100 + "]" * 100),
        "long": {"x" * 2000: 1},
        "flags": np.array([1, 2]),
    }
    coords = {"lat": ("lat", [1.0], {"units": "degrees", "source": print})}
    x = xr.DataArray(np.zeros(1), dims="lat", coords=coords, attrs=attrs)
    encoder = Encoder()
    plain = encoder.encode(x, "v")
    back = Decoder(encoder.arrays).decode(plain, "v")
    assert list(back.attrs) == ["units", "flags"]
    assert back.lat.attrs == {"units": "degrees"}
    names = ("start", "raw", "place", "of", "complex", "deep", "long")
    assert sorted(encoder.left_out) == sorted([*(f"v/attrs/{name}" for name in names), "v/coords/lat/2/source"])


def test_an_array_that_belongs_to_nothing_is_refused():
    with pytest.raises(ValueError, match=r"the arrays \['a'\] belong to nothing"):
        Decoder({"a": np.arange(2)}).check_all_used()
