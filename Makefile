PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Nothing here: the newest versions.
CONSTRAINTS := constraints.txt
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install \
	$(if $(CONSTRAINTS),-c $(CONSTRAINTS),--upgrade --upgrade-strategy eager)
DATA ?=
VARIABLE ?=
# One process per core; each gets its share of torch's threads.
JOBS ?= auto

.PHONY: help demo test test-slow test-lowest test-newest lint bench docs clean

help:
	@echo "make demo [DATA=file.nc VARIABLE=name]  train and compare the forecasters; results in demo_output/"
	@echo "make test                               run the tests, but for the slow ones"
	@echo "make test-slow                          run the slow ones: long trainings, several processes, real files"
	@echo "make test-lowest                        both with the lowest versions that pyproject.toml allows"
	@echo "make test-newest                        both with the newest versions there are"
	@echo "make lint                               check style, format and types"
	@echo "make bench                              time the stages with asv"
	@echo "make docs                               build the site in docs/_build/html and check it"
	@echo "make clean                              delete what the other targets made, environments included"

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py $(if $(DATA),--data "$(DATA)") $(if $(VARIABLE),--variable "$(VARIABLE)") --out demo_output

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow"

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n $(JOBS) -m slow

test-lowest:
	$(MAKE) test test-slow VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

test-newest:
	rm -f .venv-newest/.installed
	$(MAKE) test test-slow VENV=.venv-newest CONSTRAINTS=

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
	rm -rf $(VENV) .venv-lowest .venv-newest demo_output build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf asv_bench/env asv_bench/results asv_bench/html
	rm -rf docs/_build docs/gallery docs/api/generated docs/sg_execution_times.rst
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch first and alone: the rest then takes the build that is there.
$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing into $(VENV); the first time takes some minutes."
	$(INSTALL) torch
	$(INSTALL) -e '.[test]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(INSTALL) -e '.[bench]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(INSTALL) -e '.[docs]'
	@touch $@
