# make demo: sets up and runs the whole chain on a phantom. make test: sets up and passes the tests.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt
READY := $(VENV)/.ready
DEVELOPER := $(VENV)/.developer

.PHONY: demo setup developer test test-real laws check bench bench-denoise bench-scale clean

demo: setup
	$(BIN)/emseg demo --out demo $(if $(CI),,--serve)

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(INSTALL) torch setuptools wheel
	$(INSTALL) --no-build-isolation -e '.[train]'
	touch $(READY)

# what tests, checks and benches need beside what users need
developer: $(DEVELOPER)

$(DEVELOPER): $(READY)
	$(INSTALL) --no-build-isolation -e '.[dev]'
	touch $(DEVELOPER)

test: developer
	$(BIN)/python -m pytest -m "not real" -n 2

test-real: developer
	$(BIN)/python -m pytest -m real

laws: developer
	EMSEG_LAW_CASES=5000 $(BIN)/python -m pytest -n 2 tests/laws tests/unit/tasks/arrays/test_given.py

check: developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf .mypy_tree && mkdir -p .mypy_tree/emseg
	ln -s ../../models ../../tasks ../../pipeline .mypy_tree/emseg/
	cd .mypy_tree && ../$(BIN)/mypy --config-file ../pyproject.toml -p emseg

DATA ?= ../shared/data
WORK := build/bench

bench: developer
	mkdir -p $(WORK)/fib25
	for part in raw labels; do $(BIN)/emseg ingest $(DATA)/fib25/train.h5:$$part $(WORK)/fib25/$$part; done
	$(BIN)/emseg run examples/fib25.yaml --set source.layer=$(WORK)/fib25/raw --set run=$(WORK)/fib25/run
	$(BIN)/emseg run examples/fib25.yaml --set source.layer=$(WORK)/fib25/raw --set run=$(WORK)/fib25/tune \
	  --set 'bbox=[[0, 0, 95], [250, 250, 115]]'
	$(BIN)/emseg evaluate $(WORK)/fib25/run $(WORK)/fib25/labels
	PYTHONPATH=tests $(BIN)/python tests/bench/fib25.py $(WORK)/fib25/tune $(WORK)/fib25/run $(WORK)/fib25/labels

bench-denoise: developer
	EMSEG_DATA=$(DATA) $(BIN)/python tests/bench/denoise.py --quick

SIZE ?= 64M

bench-scale: developer
	PYTHONPATH=tests $(BIN)/python tests/bench/scale.py --size $(SIZE) --at $(WORK)/scale

clean:
	rm -rf demo build dist *.egg-info .mypy_tree .pytest_cache .mypy_cache .ruff_cache .hypothesis
