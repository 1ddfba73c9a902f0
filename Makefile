PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DATA ?=
VARIABLE ?=
# One process per core; each gets its share of torch's threads.
JOBS ?= auto

.PHONY: help demo test lint bench docs clean

help:
	@echo "make demo [DATA=file.nc VARIABLE=name]  train and compare the forecasters; results in demo_output/"
	@echo "make test                               run all tests"
	@echo "make lint                               check style, format and types"
	@echo "make bench                              time the stages with asv"
	@echo "make docs                               build the site in docs/_build/html and check it"
	@echo "make clean                              delete what the other targets made, .venv included"

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py $(if $(DATA),--data "$(DATA)") $(if $(VARIABLE),--variable "$(VARIABLE)") --out demo_output

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n $(JOBS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	cd asv_bench && ../$(BIN)/asv machine --yes && ../$(BIN)/asv run --quick --show-stderr --python=same

# -W: a warning is an error. The browser test skips where there is no Chromium.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html
	$(BIN)/python -m pytest -q -rs tests/docs

clean:
	rm -rf $(VENV) demo_output build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf asv_bench/env asv_bench/results asv_bench/html
	rm -rf docs/_build docs/gallery docs/api/generated docs/sg_execution_times.rst
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch first and alone: the rest then takes the build that is there.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time takes some minutes."
	$(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) install -c constraints.txt -e '.[bench]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@
