"""The sources of the site: every public name has its page, every example is in the gallery's form."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import gridcast as gc

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"), key=lambda path: int(path.stem.split("_")[1]))
SUBMODULES = ("callbacks", "datasets", "metrics", "plotting", "presets")


def public_names() -> set[str]:
    """Return the full name of everything public, submodules apart."""
    names = {f"gridcast.{name}" for name in gc.__all__ if name not in SUBMODULES}
    for submodule in SUBMODULES:
        module = getattr(gc, submodule)
        names |= {f"gridcast.{submodule}.{name}" for name in module.__all__}
    return names


def documented_names() -> list[str]:
    """Return the full names that the reference lists."""
    module, names, listing = "", [], False
    for line in (ROOT / "docs" / "api" / "index.rst").read_text("utf-8").splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.match(r"\.\. py:data:: (\S+)", line):
            names.append(found[1])
        elif line.startswith(".. "):
            listing = line.startswith(".. autosummary::")
        elif listing and re.fullmatch(r"   \w+", line):
            names.append(f"{module}.{line.strip()}")
    return names


def test_every_public_name_is_in_the_reference():
    assert public_names() - set(documented_names()) == set()


def test_the_reference_lists_what_there_is_and_once():
    names = documented_names()
    assert len(names) == len(set(names))
    more = {f"gridcast.forecasters.{name}" for name in ("BaseForecaster", "NeuralForecaster", "ScaledForecaster")}
    more |= {f"gridcast.forecasters.{name}" for name in ("forecaster", "parameter")}
    more |= {"gridcast.training.history.History"}
    assert set(names) - public_names() == more


def test_every_public_name_has_a_docstring():
    for name in public_names() - {"gridcast.__version__"}:
        member = gc
        for part in name.split(".")[1:]:
            member = getattr(member, part)
        assert (inspect.getdoc(member) or "").strip(), name


def test_there_are_examples():
    assert [int(path.stem.split("_")[1]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))
    assert len(EXAMPLES) >= 8


def test_the_gallery_counts_beyond_nine(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    key = importlib.import_module("example_order").NumberSortKey("examples")
    names = [path.name for path in EXAMPLES]
    assert sorted(sorted(names), key=key) == names
    assert sorted(EXAMPLES[::-1], key=key) == EXAMPLES
    assert sorted(["plot_10_b.py", "plot_9_c.py", "plot_1_a.py"], key=key)[-1] == "plot_10_b.py"
    assert '"within_subsection_order": "example_order.NumberSortKey"' in (ROOT / "docs" / "conf.py").read_text("utf-8")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path):
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    compile(tree, path.name, "exec")
    title, underline = ast.get_docstring(tree).splitlines()[:2]
    assert len(underline) == len(title)
    assert set(underline) == {"="}
    assert "**What was seen.**" in source.rpartition("# %%")[2], "an example ends with what was seen"
    assert list(private_uses(tree)) == []


def private_uses(tree):
    """Yield what an example takes of gridcast that is not public."""
    public = public_names() | {f"gridcast.{name}" for name in SUBMODULES}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gridcast":
            yield f"from {node.module} import"
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("gridcast."))
        elif isinstance(node, ast.Attribute):
            parts = ast.unparse(node).split(".") if is_dotted(node) else []
            is_ours = parts[:1] == ["gc"] and len(parts) == (3 if parts[1] in SUBMODULES else 2)
            if is_ours and f"gridcast.{'.'.join(parts[1:])}" not in public:
                yield ".".join(parts)
            if node.attr.startswith("_") and not node.attr.startswith("__"):
                yield node.attr


def is_dotted(node) -> bool:
    """Return whether a node is names joined by dots."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def test_a_private_name_is_found():
    uses = (
        "import gridcast.evaluation.splitters",
        "gc.grid.unwrap(x)",
        "gc.metrics.checked(x)",
        "m._fit()",
        "gc.metrics.mse(a, b).mean()",
    )
    tree = ast.parse("\n".join(uses))
    assert set(private_uses(tree)) == {"gc.grid", "gc.metrics.checked", "_fit", "gridcast.evaluation.splitters"}


def test_pages_that_scripts_write_are_linked_without_being_needed():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert ":glob:" in index
    assert "scaling*" in index


def test_the_citation_is_that_of_the_card():
    from gridcast.persistence.card import CITATION

    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert CITATION.rpartition("doi.org/")[2] in text
    assert f"version: {gc.__version__}\n" in text


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_first_page_begins_with_a_small_picture_that_is_there(page):
    title, _, picture, *_ = (ROOT / page).read_text("utf-8").replace("\nensemble", " ensemble").splitlines()
    assert title == "# gridcast"
    found = re.fullmatch(r"!\[.{40,}\]\((?!http)(\S+\.png)\)", picture)
    assert 10_000 < ((ROOT / page).parent / found[1]).stat().st_size < 200_000


def test_the_first_page_of_the_gallery_shows_a_figure_first():
    first, *_ = EXAMPLES[0].read_text("utf-8").split("# %%")
    assert first.strip().splitlines()[-1].startswith("gc.plotting.plot_maps(")
