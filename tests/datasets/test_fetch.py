import contextlib
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dask
import numpy as np
import pytest
import xarray as xr

from gridcast.datasets import fetch_air_temperature, fetch_cmap, make_precipitation

CMAP = "precip.pentad.mean.nc"
AIR = "air_temperature.nc"


class Mirror:
    """A web server on this machine: `files` maps a name to (status, body, announced length)."""

    def __init__(self):
        self.files = {}
        self.requests = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requests.append(self.path)
                status, body, length = mirror.files.get(self.path.split("/")[-1], (404, b"not here", 8))
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/data"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def serve(self, name, body, status=200, length=None):
        self.files[name] = (status, body, len(body) if length is None else length)

    def close(self):
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def mirror():
    mirror = Mirror()
    yield mirror
    mirror.close()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def precip():
    return make_precipitation(4, shape=(6, 8), random_state=0)


@pytest.fixture
def body(precip, tmp_path):
    return as_bytes(precip, tmp_path)


def as_bytes(array, folder, **kwargs):
    path = folder / "written.nc"
    array.to_netcdf(path, **kwargs)
    return path.read_bytes()


def sha256(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def test_pentads_are_fetched_once_and_then_come_from_the_cache(mirror, cache, precip, body):
    mirror.serve(CMAP, body)
    first = fetch_cmap(mirror.url, cache)
    xr.testing.assert_equal(first, precip)
    assert dask.is_dask_collection(first)
    assert mirror.requests == [f"/data/{CMAP}"]
    mirror.close()
    second = fetch_cmap(mirror.url, cache)
    xr.testing.assert_equal(second, precip)
    assert [file.name for file in cache.iterdir()] == [CMAP]


def test_air_temperature_is_unpacked_to_kelvin(mirror, cache, tmp_path):
    time = np.datetime64("2013-01-01", "ns") + np.arange(3) * np.timedelta64(6, "h")
    values = 250 + np.arange(24.0).reshape(3, 2, 4)
    air = xr.DataArray(values, {"time": time}, ("time", "lat", "lon"), "air", {"units": "degK"})
    packed = {"air": {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -32767}}
    mirror.serve(AIR, as_bytes(air, tmp_path, encoding=packed))
    fetched = fetch_air_temperature(mirror.url + "/", cache)
    assert mirror.requests == [f"/data/{AIR}"]
    assert fetched.dims == ("time", "lat", "lon")
    assert fetched.dtype == np.float32
    assert fetched.attrs["units"] == "K"
    assert dask.is_dask_collection(fetched)
    np.testing.assert_allclose(fetched, values)
    mirror.close()
    assert fetch_air_temperature(mirror.url, cache).equals(fetched)


def test_cache_folder_comes_from_the_environment(mirror, tmp_path, monkeypatch, body):
    monkeypatch.setenv("GRIDCAST_DATA", str(tmp_path / "elsewhere"))
    mirror.serve(CMAP, body)
    fetch_cmap(mirror.url)
    assert (tmp_path / "elsewhere" / CMAP).read_bytes() == body


def test_cache_folder_is_the_users_by_default(mirror, tmp_path, monkeypatch, body):
    monkeypatch.delenv("GRIDCAST_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    mirror.serve(CMAP, body)
    fetch_cmap(mirror.url)
    assert (tmp_path / "gridcast" / CMAP).read_bytes() == body


def test_known_hash_is_checked_and_a_stale_file_replaced(mirror, cache, precip, body, tmp_path):
    mirror.serve(CMAP, body)
    fetch_cmap(mirror.url, cache, known_hash=sha256(body)).close()
    newer = as_bytes(precip + 1, tmp_path)
    mirror.serve(CMAP, newer)
    assert fetch_cmap(mirror.url, cache, known_hash=sha256(newer)).equals(precip + 1)
    assert len(mirror.requests) == 2


def whole(body):
    return {"body": body}


def html(body):
    return {"body": b"<!DOCTYPE html><title>Down for maintenance</title>"}


def cut_connection(body):
    return {"body": body[: len(body) // 2], "length": len(body)}


def cut_file(body):
    return {"body": body[:-8]}


def absent(body):
    return {"body": b"no such file", "status": 404}


@pytest.mark.parametrize(
    ("answer", "known_hash", "reason"),
    [
        (html, None, "begins with b'<!DOCTYPE html>.*not a whole netCDF file"),
        (cut_connection, None, "IncompleteRead"),
        (cut_file, None, "not a whole netCDF file"),
        (absent, None, "404"),
        (whole, "sha256:" + 64 * "0", "hash"),
    ],
)
@pytest.mark.parametrize("file_format", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_a_failed_download_leaves_nothing(mirror, cache, precip, tmp_path, file_format, answer, known_hash, reason):
    mirror.serve(CMAP, **answer(as_bytes(precip, tmp_path, format=file_format)))
    with pytest.raises(OSError, match=rf"{mirror.url}/{CMAP} could not be fetched .*{reason}.*base_url of a mirror"):
        fetch_cmap(mirror.url, cache, known_hash)
    assert not list(cache.iterdir())


def test_a_file_with_other_variables_is_refused(mirror, cache, precip, tmp_path):
    mirror.serve(AIR, as_bytes(precip, tmp_path))
    with pytest.raises(OSError, match=r"holds \['precip'\], not 'air'"):
        fetch_air_temperature(mirror.url, cache)
    assert not list(cache.iterdir())


def test_a_failed_update_keeps_the_file_that_was_there(mirror, cache, body):
    mirror.serve(CMAP, body)
    fetch_cmap(mirror.url, cache)
    mirror.serve(CMAP, **html(body))
    with pytest.raises(OSError, match="could not be fetched"):
        fetch_cmap(mirror.url, cache, known_hash="sha256:" + 64 * "0")
    assert (cache / CMAP).read_bytes() == body


def test_a_server_that_is_down(mirror, cache):
    mirror.close()
    with pytest.raises(OSError, match=rf"{mirror.url}/{CMAP} could not be fetched \(ConnectionError"):
        fetch_cmap(mirror.url, cache)
    assert not list(cache.iterdir())


def test_an_unknown_protocol(cache):
    with pytest.raises(OSError, match=r"gopher://example\.org/precip\.pentad\.mean\.nc could not be fetched"):
        fetch_cmap("gopher://example.org", cache)


@pytest.mark.parametrize("file_format", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_a_damaged_file_in_the_cache_is_an_error_whose_advice_helps(mirror, cache, precip, tmp_path, file_format):
    mirror.serve(CMAP, as_bytes(precip, tmp_path, format=file_format))
    fetch_cmap(mirror.url, cache).close()
    path = cache / CMAP
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(OSError, match=rf"{CMAP} in the cache is damaged .*not a whole netCDF file.*: remove it"):
        fetch_cmap(mirror.url, cache)
    path.unlink()
    xr.testing.assert_equal(fetch_cmap(mirror.url, cache), precip)


class Dripping(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client leaves
            while True:
                self.wfile.write(b"x")
                time.sleep(0.02)

    def log_message(self, *args):
        pass


def test_a_server_that_drips_is_given_up(cache, monkeypatch):
    monkeypatch.setattr("gridcast.datasets._fetch._PATIENCE", 0.2)
    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        with pytest.raises(OSError, match=r"could not be fetched \(TimeoutError: the server sent only \d+ bytes"):
            fetch_cmap(f"http://127.0.0.1:{server.server_port}", cache)
        server.shutdown()
    assert not list(cache.iterdir())
