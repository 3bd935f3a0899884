# make demo: sets up and runs the whole chain on a phantom. make test: sets up and passes the tests.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-real laws check bench clean setup

demo: setup
	$(BIN)/emseg demo --out demo $(if $(CI),,--serve)

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch setuptools wheel
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $(READY)

test: setup
	$(BIN)/python -m pytest -m "not real"

test-real: setup
	$(BIN)/python -m pytest -m real

laws: setup
	EMSEG_LAW_CASES=1000 $(BIN)/python -m pytest tests/laws

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf .mypy_tree && mkdir -p .mypy_tree/emseg
	ln -s ../../models ../../tasks ../../pipeline .mypy_tree/emseg/
	cd .mypy_tree && ../$(BIN)/mypy --config-file ../pyproject.toml -p emseg

bench: setup
	for script in tests/bench/*.py; do $(BIN)/python $$script --quick; done

clean:
	rm -rf demo build dist *.egg-info .mypy_tree .pytest_cache .mypy_cache .ruff_cache .hypothesis
