"""What stands at a path is whole, and nothing is left beside it."""

import subprocess
import sys
import threading

import pytest

from gridcast.persistence.atomic import replacing

WRITES = """
import sys, time
from gridcast.persistence.atomic import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def write(path, content):
    with replacing(path) as file:
        file.write(content)


@pytest.mark.skipif(sys.platform == "win32", reason="left files are not removed there")
def test_the_next_save_removes_what_a_killed_one_left_and_not_what_another_writes(tmp_path):
    path = tmp_path / "a [1].gridcast"  # brackets mean something to glob
    write(tmp_path / "other", b"other")
    with replacing(path) as file:
        file.write(b"before")
        file.flush()
        process = subprocess.Popen([sys.executable, "-c", WRITES, path], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout.readline() == "writing\n"
            assert len(list(tmp_path.glob(".*"))) == 2
            write(path, b"meanwhile")
            assert len(list(tmp_path.glob(".*"))) == 2  # both are alive
        finally:
            process.kill()
            process.wait()
    assert path.read_bytes() == b"before"
    assert [left.read_bytes() for left in tmp_path.glob(".*")] == [b"half"]
    write(tmp_path / "other", b"another")  # of its own name alone
    assert len(list(tmp_path.glob(".*"))) == 1
    write(path, b"whole")
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "other"]
    assert path.read_bytes() == b"whole"


def test_many_that_write_one_file_at_once_leave_one_whole_file(tmp_path):
    path, failed = tmp_path / "file", []

    def often(content):
        try:
            for _ in range(40):
                write(path, content)
        except OSError as error:
            failed.append(error)

    contents = [bytes([65 + i]) * 1000 for i in range(4)]
    threads = [threading.Thread(target=often, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]
