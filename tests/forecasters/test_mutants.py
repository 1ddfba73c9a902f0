"""A damaged or crafted file is a ValueError, soon and in little memory, or a forecaster."""

import hashlib
import io
import json
import random
import struct
import zipfile

import numpy as np
import pytest
import xarray as xr
from mutants import mutant

import gridcast as gc
from gridcast.persistence.container import ARRAYS, SUMS, TEXT, VALUES

ODD = (None, True, -1, 0, 10**12, 10**30, 1e300, "", "x" * 5000, [], {}, [[1]], {"$type": "tuple", "items": []})
HUGE = {"$type": "RangeIndex", "start": 0, "stop": 10**10, "step": 1, "name": None}


def make(name):
    values = np.random.default_rng(0).normal(size=(30, 4, 4)).astype(np.float32)
    x = xr.DataArray(values, dims=("time", "lat", "lon"), coords={"lat": np.arange(4.0)}, attrs={"units": "K"})
    return {
        "naive": gc.NaiveForecaster("climatology", period=5, random_state=0),
        "linear": gc.LinearForecaster(lags=2, context=3, random_state=0, device="cpu"),
        "pipeline": gc.ForecastPipeline(
            [
                ("anomaly", gc.Anomaly(period=5)),
                ("scale", gc.MinMaxTransformer()),
                ("none", None),
                ("naive", gc.NaiveForecaster(random_state=0)),
            ]
        ),
    }[name].fit(x)


@pytest.fixture(scope="module", params=["naive", "linear", "pipeline"])
def saved(request, tmp_path_factory):
    """Return a forecast, the bytes of the file that makes it, and a place for mutants."""
    path = tmp_path_factory.mktemp("mutants") / "model.gridcast"
    model = make(request.param)
    model.save(path)
    return model.predict(2), path.read_bytes(), path


def opened(path):
    """Return the forecaster, None where the file is refused as is documented."""
    try:
        return gc.load(path, device="cpu")
    except ValueError as error:
        message = str(error)
    assert message.startswith("path=")
    assert len(message) < 2000
    return None


def resealed(data, document=None, arrays=None):
    """Return a file with other values or arrays whose sums are right: what someone crafts."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = {name: archive.read(name) for name in (VALUES, ARRAYS, TEXT)}
    content |= {name: new for name, new in ((VALUES, document), (ARRAYS, arrays)) if new is not None}
    content[SUMS] = "".join(f"{hashlib.sha256(part).hexdigest()}  {name}\n" for name, part in content.items()).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, part in content.items():
            archive.writestr(zipfile.ZipInfo(name), part)
    return out.getvalue()


def places(value, place=()):
    yield place
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in pairs:
        yield from places(item, (*place, name))


def crafted(data, draw):
    """Return a file in which one value of the document, or the header of the arrays, is another."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        document, arrays = json.loads(archive.read(VALUES)), archive.read(ARRAYS)
    if draw.random() < 0.3:
        n = struct.unpack("<Q", arrays[:8])[0]
        header = mutant(arrays[8 : 8 + n], draw)
        return resealed(data, arrays=struct.pack("<Q", len(header)) + header + arrays[8 + n :])
    every = [place for place in places(document) if place]
    *folder, name = draw.choice(every)
    at = document
    for part in folder:
        at = at[part]
    kind = draw.randrange(4)
    if kind == 0:
        del at[name]
    elif kind == 1:
        at[name] = draw.choice((*ODD, HUGE))
    elif kind == 2:
        at[name] = [at[name]]
    else:
        other = document
        for part in draw.choice(every):
            other = other[part]
        at[name] = json.loads(json.dumps(other))
    return resealed(data, document=json.dumps(document).encode())


def test_a_damaged_file_is_refused_or_forecasts_the_same(saved):
    expected, data, path = saved
    draw = random.Random(0)
    for _ in range(200):
        path.write_bytes(mutant(data, draw))
        model = opened(path)
        assert model is None or model.predict(2).identical(expected)


def test_a_crafted_file_is_refused_or_opens(saved):
    _, data, path = saved
    draw, n_refused = random.Random(1), 0
    for _ in range(200):
        path.write_bytes(crafted(data, draw))
        n_refused += opened(path) is None
    assert n_refused > 100
