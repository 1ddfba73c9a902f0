"""The GPU run, small on a CPU: every part gives its figures, one JSON line each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "asv_bench"
PARTS = ("device", "agreement", "steps", "profile", "heat", "turbulence", "large", "stream")


def test_every_part_runs_small_and_is_kept(tmp_path):
    call = [sys.executable, "gpu.py", "--small", "--out", str(tmp_path), "--scratch", str(tmp_path)]
    ran = subprocess.run(call, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert [next(iter(line)) for line in lines] == list(PARTS)
    kept = json.loads((tmp_path / "gpu.json").read_text())
    for line in lines:
        ((name, figures),) = line.items()
        assert "failed" not in figures, figures
        assert kept[name] == figures
    assert kept["agreement"]["weights bit-equal"]
    assert max(kept["agreement"]["largest relative difference of forecasts"].values()) < 1e-4
    assert not [path for path in tmp_path.iterdir() if path.name != "gpu.json"]


def test_the_help_says_what_it_needs():
    shown = subprocess.run([sys.executable, "gpu.py", "--help"], cwd=FOLDER, capture_output=True, text=True, check=True)
    for need in ("one GPU", "5 GB", "eight minutes", "--scratch"):
        assert need in shown.stdout
