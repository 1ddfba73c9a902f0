"""The rules of the house, checked from the source: each check takes all files and returns its complaints."""

import ast
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Sources = dict[str, str]
Check = Callable[[Sources], list[str]]

PACKAGE = Path(__file__).resolve().parents[1] / "gridcast"

# What stands directly in the package, a file or a folder, is a room. A room imports from the rows above its own.
ROWS = (
    ("_version", "data", "modules"),
    ("transformers", "metrics", "datasets"),
    ("persistence",),
    ("training",),
    ("forecasters",),
    ("evaluation", "plotting"),
    ("pipeline", "presets"),
    ("opening",),
    ("__init__",),
)
MOST_ROOMS, MOST_ARROWS = 15, 40
IMPORT_NOTHING_OF_OURS = ("modules/",)
WITHOUT_TORCH = (
    "data/", "transformers/", "metrics/", "datasets/", "persistence/", "evaluation/", "plotting/",
    "forecasters/base", "forecasters/calibrated", "forecasters/driven", "forecasters/histories", "forecasters/labelled",
    "forecasters/naive", "forecasters/predicting", "forecasters/saved", "training/history", "pipeline", "presets",
)  # fmt: skip
WITHOUT_XARRAY = (
    "modules/", "training/loop", "training/engine", "training/streaming", "training/prefetch", "training/cost",
)  # fmt: skip
MOST_LINES = 399


def read_sources() -> Sources:
    """Return the text of every file; what a package imports lazily, from its stub, counts as its import."""
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    for stub in PACKAGE.rglob("*.pyi"):
        here = ".".join(("gridcast", *stub.parent.relative_to(PACKAGE).parts))
        names = (
            stub.read_text("utf-8").replace("from . import", f"from {here} import").replace("from .", f"from {here}.")
        )
        sources[stub.with_suffix(".py").relative_to(PACKAGE).as_posix()] += names
    return sources


def is_in(path: str, units: tuple[str, ...]) -> str | None:
    """Return the unit, a file or a folder, that `path` belongs to."""
    stem = path.removesuffix(".py")
    return next((unit for unit in units if stem == unit or (unit.endswith("/") and path.startswith(unit))), None)


def nodes(source: str, *types: type) -> Iterator[ast.AST]:
    return (node for node in walked(source) if isinstance(node, types))


@functools.cache
def walked(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source)))


def imported(source: str) -> Iterator[tuple[str, str | None]]:
    """Yield each import as a module, and the name taken from it."""
    for node in nodes(source, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        else:
            module = "." * node.level + (node.module or "")
            yield from ((module, alias.name) for alias in node.names)


def own_imports(path: str, sources: Sources) -> Iterator[tuple[str, str | None]]:
    """Yield the file of ours that each import of `path` reads, and the name if it is not the file itself."""
    for module, name in imported(sources[path]):
        if module.split(".")[0] not in ("gridcast", ""):
            continue
        if module.startswith("."):
            raise ValueError(f"{path}: relative import; write `from gridcast...`")
        folder = "/".join(module.split(".")[1:])
        places = [
            f"{folder}/{name}.py",
            f"{folder}/{name}/__init__.py",
            f"{folder}.py",
            f"{folder}/__init__.py",
        ]
        found = next((i for i, place in enumerate(places) if place.lstrip("/") in sources), None)
        if found is None:
            raise ValueError(f"{path}: imports {module}, which is no file of ours")
        yield places[found].lstrip("/"), name if found >= 2 else None


def room(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def row(path: str) -> int | None:
    return next((i for i, rooms in enumerate(ROWS) if room(path) in rooms), None)


def arrows(sources: Sources) -> dict[tuple[str, str], str]:
    """Return which room imports from which, with an import of each."""
    found = {}
    for path in sources:
        for target, _ in own_imports(path, sources):
            if room(path) != room(target):
                found[room(path), room(target)] = f"{path}: imports {target}"
    return found


def every_room_is_known(sources: Sources) -> list[str]:
    return [f"{path}: stands in no row; place its room in ROWS" for path in sources if row(path) is None]


def imports_between_rooms_go_down(sources: Sources) -> list[str]:
    rows = {name: i for i, rooms in enumerate(ROWS) for name in rooms}
    return [
        f"{found}, which does not lie below it"
        for (here, there), found in arrows(sources).items()
        if rows.get(there, len(ROWS)) >= rows.get(here, 0)
    ]


def rooms_and_arrows_are_few(sources: Sources) -> list[str]:
    n_rooms, n_arrows = len(set(map(room, sources))), len(arrows(sources))
    complaints = [f"{n_rooms} rooms, the most is {MOST_ROOMS}"] if n_rooms > MOST_ROOMS else []
    return complaints + ([f"{n_arrows} arrows, the most is {MOST_ARROWS}"] if n_arrows > MOST_ARROWS else [])


def imports_have_no_circle(sources: Sources) -> list[str]:
    targets = {path: {target for target, _ in own_imports(path, sources)} for path in sources}
    complaints = []
    for path in sources:
        reached, queue = set(), [path]
        while queue:
            new = targets[queue.pop()] - reached
            reached |= new
            queue += new
        if path in reached:
            complaints.append(f"{path}: imports itself in the end")
    return complaints


def some_import_nothing_of_ours(sources: Sources) -> list[str]:
    complaints = []
    for path in sources:
        unit = is_in(path, IMPORT_NOTHING_OF_OURS)
        for target, _ in own_imports(path, sources) if unit else ():
            if not (unit.endswith("/") and target.startswith(unit)):
                complaints.append(f"{path}: imports {target}, but {unit} imports nothing of ours")
    return complaints


def imports_of(package: str, sources: Sources, units: tuple[str, ...]) -> list[str]:
    return [
        f"{path}: imports {module}"
        for path, source in sources.items()
        if is_in(path, units)
        for module, _ in imported(source)
        if module.split(".")[0] == package
    ]


def torch_stays_out_of_the_data_layers(sources: Sources) -> list[str]:
    return imports_of("torch", sources, WITHOUT_TORCH) + imports_of("pyro", sources, WITHOUT_TORCH)


def labels_stay_out_of_the_modules(sources: Sources) -> list[str]:
    return imports_of("xarray", sources, WITHOUT_XARRAY)


def methods_called(source: str) -> Iterator[ast.Call]:
    return (node for node in nodes(source, ast.Call) if isinstance(node.func, ast.Attribute))


def gradients_are_taken_in_training_alone(sources: Sources) -> list[str]:
    return [
        f"{path}:{call.lineno}: calls .backward("
        for path, source in sources.items()
        if path != "training/loop.py"
        for call in methods_called(source)
        if call.func.attr == "backward"
    ]


def data_meets_the_device_in_two_files(sources: Sources) -> list[str]:
    complaints = []
    for path, source in sources.items():
        for call in methods_called(source) if path not in ("training/loop.py", "training/engine.py") else ():
            moved = [
                *map(ast.unparse, call.args),
                *(f"{word.arg}={ast.unparse(word.value)}" for word in call.keywords),
            ]
            if call.func.attr == "cuda" or (call.func.attr == "to" and "device" in " ".join(moved)):
                complaints.append(f"{path}:{call.lineno}: calls .{call.func.attr}({', '.join(moved)})")
    return complaints


def pyro_samples_in_one_file(sources: Sources) -> list[str]:
    files = [path for path, source in sources.items() if "pyro.sample" in calls(source) or sampled(source)]
    if len(files) > 1 or (not files and "modules/markov.py" in sources):
        return [f"pyro.sample( stands in {len(files)} files: {', '.join(files)}"]
    return []


def calls(source: str) -> set[str]:
    return {ast.unparse(call.func) for call in nodes(source, ast.Call)}


def sampled(source: str) -> bool:
    return any(module == "pyro" and name == "sample" for module, name in imported(source))


def is_abstract(method: ast.FunctionDef) -> bool:
    if any(ast.unparse(mark).split(".")[-1] == "abstractmethod" for mark in method.decorator_list):
        return True
    body = [node for node in method.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return all(isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node) for node in body)


def methods(body: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in body.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def implemented_methods_are_final(sources: Sources) -> list[str]:
    classes = {(path, body.name): body for path in sources for body in nodes(sources[path], ast.ClassDef)}

    def ancestors(path: str, body: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef]]:
        for base in body.bases:
            name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base).split(".")[-1]
            homes = [path] if (path, name) in classes else [home for home, other in classes if other == name]
            for home in homes:
                if classes[home, name] is not body:
                    yield home, classes[home, name]
                    yield from ancestors(home, classes[home, name])

    return [
        f"{path}: {body.name}.{name} overrides {base.name}.{name} of {home}"
        for (path, _), body in classes.items()
        for home, base in ancestors(path, body)
        for name in methods(body)
        if name != "__init__" and name in methods(base) and not is_abstract(methods(base)[name])
    ]


def files_are_short(sources: Sources) -> list[str]:
    lengths = {path: len(source.splitlines()) for path, source in sources.items()}
    return [f"{path}: {n} lines, the most is {MOST_LINES}" for path, n in lengths.items() if n > MOST_LINES]


def public_names_have_docstrings(sources: Sources) -> list[str]:
    def documented(path: str, name: str | None) -> bool:
        tree = ast.parse(sources[path])
        if name is None:
            return ast.get_docstring(tree) is not None
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return ast.get_docstring(node) is not None
        return any(documented(home, taken) for home, taken in own_imports(path, sources) if taken == name)

    public = own_imports("__init__.py", sources) if "__init__.py" in sources else ()
    return [
        f"gridcast.{name or Path(home).with_suffix('').as_posix()}: has no docstring"
        for home, name in public
        if not (name or "").startswith("__") and not documented(home, name)
    ]


MANY_ROOMS = {f"room{i}.py": "" for i in range(MOST_ROOMS + 1)}
MANY_ARROWS = {f"room{i}.py": "".join(f"import gridcast.room{j}\n" for j in range(i)) for i in range(10)}
OFFENCES: list[tuple[Check, Sources, str]] = [
    (every_room_is_known, {"extras.py": ""}, "extras.py"),
    (every_room_is_known, {"extras/grid.py": ""}, "extras/grid.py"),
    (
        imports_between_rooms_go_down,
        {"data/grid.py": "from gridcast.metrics import mse", "metrics/__init__.py": ""},
        "imports metrics/__init__.py",
    ),
    (
        imports_between_rooms_go_down,
        {"data/grid.py": "from gridcast import plotting", "plotting/__init__.py": ""},
        "imports plotting/__init__.py",
    ),
    (
        imports_between_rooms_go_down,
        {"data/grid.py": "import gridcast.plotting", "plotting/__init__.py": ""},
        "imports plotting/__init__.py",
    ),
    (
        imports_between_rooms_go_down,
        {"data/grid.py": "def f():\n    import gridcast", "__init__.py": ""},
        "imports __init__.py",
    ),
    (
        imports_between_rooms_go_down,
        {"metrics/a.py": "from gridcast.datasets import make", "datasets/__init__.py": ""},
        "imports datasets/__init__.py",
    ),
    (
        imports_between_rooms_go_down,
        {"training/data.py": "from gridcast.evaluation.splitters import x", "evaluation/splitters.py": ""},
        "imports evaluation/splitters.py",
    ),
    (rooms_and_arrows_are_few, MANY_ROOMS, "16 rooms"),
    (rooms_and_arrows_are_few, MANY_ARROWS, "45 arrows"),
    (
        imports_have_no_circle,
        {
            "modules/a.py": "from gridcast.modules import b",
            "modules/b.py": "from gridcast.modules.c import x",
            "modules/c.py": "import gridcast.modules.a",
        },
        "modules/b.py: imports itself",
    ),
    (
        some_import_nothing_of_ours,
        {"modules/a.py": "from gridcast.data.grid import x", "data/grid.py": ""},
        "imports data/grid.py",
    ),
    (
        torch_stays_out_of_the_data_layers,
        {"data/grid.py": "def f():\n    from torch.nn import Module"},
        "torch.nn",
    ),
    (torch_stays_out_of_the_data_layers, {"forecasters/base.py": "import pyro.distributions"}, "pyro"),
    (labels_stay_out_of_the_modules, {"modules/markov.py": "import xarray as xr"}, "xarray"),
    (labels_stay_out_of_the_modules, {"training/loop.py": "from xarray import DataArray"}, "xarray"),
    (gradients_are_taken_in_training_alone, {"modules/a.py": "loss(x).sum().backward()"}, "backward"),
    (data_meets_the_device_in_two_files, {"training/streaming.py": "x.to(device)"}, "to(device)"),
    (
        data_meets_the_device_in_two_files,
        {"training/streaming.py": "x.to(self.device, non_blocking=True)"},
        "device",
    ),
    (data_meets_the_device_in_two_files, {"training/streaming.py": "x.to(device='cpu')"}, "device"),
    (data_meets_the_device_in_two_files, {"training/streaming.py": "x.cuda()"}, "cuda"),
    (
        pyro_samples_in_one_file,
        {"a.py": "pyro.sample('z', d)", "b.py": "pyro.sample('x', d)"},
        "2 files: a.py, b.py",
    ),
    (pyro_samples_in_one_file, {"a.py": "pyro.sample('z', d)", "b.py": "from pyro import sample"}, "2 files"),
    (pyro_samples_in_one_file, {"modules/markov.py": ""}, "0 files"),
    (
        implemented_methods_are_final,
        {
            "a.py": "class A:\n    def f(self):\n        return 1",
            "b.py": "class B(a.A):\n    def f(self): ...",
        },
        "b.py: B.f overrides A.f of a.py",
    ),
    (
        implemented_methods_are_final,
        {
            "a.py": "class A:\n  def f(self): return 1\n",
            "b.py": "class B(A): pass\nclass C(B[int]):\n  def f(self): return 2",
        },
        "C.f overrides A.f",
    ),
    (files_are_short, {"a.py": "\n" * 400}, "400 lines"),
    (
        public_names_have_docstrings,
        {"__init__.py": "from gridcast.a import F", "a.py": "class F:\n    x = 1"},
        "gridcast.F",
    ),
    (
        public_names_have_docstrings,
        {"__init__.py": "from gridcast.a import F", "a.py": "from gridcast.b import F", "b.py": "class F:\n    x = 1"},
        "gridcast.F",
    ),
    (public_names_have_docstrings, {"__init__.py": "from gridcast import a", "a.py": "x = 1"}, "gridcast.a"),
]
CHECKS = list(dict.fromkeys(check for check, _, _ in OFFENCES))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_package_keeps_the_rule(check):
    sources = read_sources()
    assert sources
    assert check(sources) == []


@pytest.mark.parametrize(("check", "sources", "complaint"), OFFENCES)
def test_an_offence_is_seen(check, sources, complaint):
    assert any(complaint in found for found in check(sources))


def test_what_a_package_imports_lazily_counts():
    sources = read_sources()
    assert ("forecasters/naive.py", "NaiveForecaster") in own_imports("forecasters/__init__.py", sources)
    assert {"datasets", "forecasters", "training"} <= {there for here, there in arrows(sources) if here == "__init__"}


def test_what_is_allowed_is_not_seen():
    abstract = (
        "class A(ABC):\n    def __init__(self): pass\n    @abstractmethod\n    def f(self): return 1\n"
        '    def g(self):\n        """Say."""\n        raise NotImplementedError\n    def h(self): ...\n'
        "class B(A):\n    def __init__(self): pass\n    def f(self): return 2\n    def g(self): return 2\n"
        "    def h(self): return 2"
    )
    sources = {
        "__init__.py": "from gridcast import data\nfrom gridcast.datasets import f",
        "data/__init__.py": '"""Say."""',
        "data/grid.py": "import xarray",
        "datasets/__init__.py": "from gridcast.datasets._make import f",
        "datasets/_make.py": 'from gridcast.data.grid import x\ndef f():\n    """Make."""',
        "modules/a.py": "from gridcast.modules.b import x\nx.to(torch.float32)",
        "modules/b.py": abstract,
        "training/loop.py": "import torch\nfabric.backward(loss)\nx.to(device)",
        "forecasters/dmm.py": "pyro.sample('x', d)",
    }
    assert {check.__name__: check(sources) for check in CHECKS} == {check.__name__: [] for check in CHECKS}
