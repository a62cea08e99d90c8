# Two commands on a fresh machine: make demo, make test. Each makes its own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all lint docs bench clean

$(BIN)/bezoar: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; set PYTHON=python3.11"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(BIN)/bezoar
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(BIN)/bezoar
	$(BIN)/bezoar demo

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests benchmarks scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-all: lint $(VENV)/.peers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m ''

$(VENV)/.peers: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	touch $@

bench: $(VENV)/.peers
	$(BIN)/python benchmarks/run_all.py

docs: $(VENV)/.dev
	$(BIN)/python scripts/make_docs.py

clean:
	rm -rf $(VENV) build dist
