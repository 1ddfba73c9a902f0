"""Sphinx's settings: ``make docs`` builds the site into ``docs/_build/html``."""

import inspect
import sys
from pathlib import Path

import matplotlib as mpl

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_ext")]

import gridcast as gc  # noqa: E402
from gridcast.forecasters import BaseForecaster, NeuralForecaster  # noqa: E402
from gridcast.training.history import History  # noqa: E402

mpl.use("Agg")

project = "gridcast"
author = "gridcast developers"
copyright = "gridcast developers"
release = version = gc.__version__

extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_templates", "results/**", "sg_execution_times.rst", "gallery/sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "py:obj"
html_math_renderer = "mathml"
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # pages that scripts write may begin where they like

autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False


def own_methods(cls: type) -> list[str]:
    """Return the public methods of a class that are defined in gridcast, and scikit-learn's ``get_params``."""
    found = []
    for name, member in inspect.getmembers(cls, inspect.isroutine):
        defined_in = getattr(inspect.unwrap(member), "__module__", None) or ""
        if not name.startswith("_") and (defined_in.startswith("gridcast.") or name == "get_params"):
            found.append(name)
    first = [
        "fit",
        "predict",
        "predict_samples",
        "predict_quantiles",
        "calibrate",
        "update",
        "score",
        "save",
        "card",
        "summary",
    ]
    return sorted(found, key=lambda name: (first.index(name) if name in first else len(first), name))


_members = [getattr(gc, name) for name in gc.__all__] + [getattr(gc.callbacks, name) for name in gc.callbacks.__all__]
_classes = [*filter(inspect.isclass, _members), BaseForecaster, NeuralForecaster, History]
autosummary_context = {"own_methods": {cls.__name__: own_methods(cls) for cls in _classes}}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(?!plot_)",
    "within_subsection_order": "example_order.NumberSortKey",
    "ignore_repr_types": r"matplotlib|numpy\.ndarray|NaiveForecaster",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("gridcast",),
    "inspect_global_variables": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "gridcast"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/logo.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {
    "logo": {"text": "gridcast", "image_light": "_static/logo.svg", "image_dark": "_static/logo.svg"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navigation_depth": 3,
    "show_toc_level": 2,
    "footer_start": ["sphinx-version"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "results": [], "scaling": [], "changelog": [], "contributing": []}
