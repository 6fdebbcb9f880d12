# What a fresh clone needs: `make demo` and `make test`, with Python and the network only.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin

.PHONY: demo test lint style format types layers documents readme clean

demo: $(VENV)/.installed
	@$(BIN)/canvaslm demo

test: $(VENV)/.installed-test
	@$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=loadfile

lint: style format types layers documents

style: $(VENV)/.installed-test
	$(BIN)/ruff check .

format: $(VENV)/.installed-test
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

layers: $(VENV)/.installed-test
	$(BIN)/lint-imports

documents: $(VENV)/.installed-test
	$(BIN)/python tools/readme.py --check

# Rewrites the generated parts of the documents.
readme: $(VENV)/.installed-test
	$(BIN)/python tools/readme.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing canvaslm into $(VENV); the first time takes a few minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@echo "Installing canvaslm and its tests into $(VENV); the first time takes a few minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "canvaslm needs Python 3.11 or newer: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -f $(BIN)/python; \
		echo "no virtual environment could be made: install Python's venv module" >&2; exit 1; }
