"""The files of pinned versions say what `pyproject.toml` says."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(*extras: str) -> list[Requirement]:
    return [Requirement(line) for lines in (PROJECT["dependencies"], *(EXTRAS[e] for e in extras)) for line in lines]


def pins(name: str) -> dict[str, Version]:
    lines = (line for line in (ROOT / name).read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}


@pytest.mark.parametrize("requirement", requirements("test"), ids=lambda requirement: requirement.name)
def test_the_lowest_versions_are_the_floors(requirement):
    floors = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
    assert [pins("constraints-lowest.txt")[canonicalize_name(requirement.name)]] == floors


@pytest.mark.parametrize("requirement", requirements(*EXTRAS), ids=lambda requirement: requirement.name)
def test_the_pinned_versions_are_allowed(requirement):
    pinned = pins("constraints.txt").get(canonicalize_name(requirement.name))
    assert pinned is None or requirement.specifier.contains(pinned)
