# What a fresh clone needs: `make demo` and `make test`, with Python and the network only.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin

SOURCES := src/canvaslm/kernels/build.py $(wildcard src/canvaslm/kernels/cpu/source/*)

# Clients of others that want another `openai` than the tests.
CLIENTS ?= .venv-clients

.PHONY: demo test sanitize browser clients lint style format types layers documents readme clean

demo: $(VENV)/.installed $(VENV)/.kernels
	@$(BIN)/canvaslm demo

test: $(VENV)/.installed-test $(VENV)/.kernels
	@$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=loadfile

# The kernels' tests once more, with libraries that check every access to memory and all arithmetic.
sanitize: $(VENV)/.installed-test
	@$(BIN)/python tools/sanitize.py

# Every tab of the page in headless Chromium, which has to be installed.
browser: $(VENV)/.installed-test $(VENV)/.kernels
	@$(BIN)/python -m pytest -m "slow or not slow" tests/server/web

# LiteLLM and lm-evaluation-harness against the server.
clients: $(VENV)/.installed-test $(VENV)/.kernels $(CLIENTS)/.installed
	@CANVASLM_CLIENTS=$(CLIENTS) $(BIN)/python -m pytest -m slow tests/clients

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
	$(BIN)/python -m tools.readme --check
	$(BIN)/python -m tools.http_page --check
	$(BIN)/python -m tools.cli_page --check
	$(BIN)/python -m tools.card --check

# Rewrites the generated parts of the documents.
readme: $(VENV)/.installed-test
	$(BIN)/python -m tools.readme
	$(BIN)/python -m tools.http_page
	$(BIN)/python -m tools.cli_page
	$(BIN)/python -m tools.card --write

clean:
	rm -rf $(VENV) $(CLIENTS) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing canvaslm into $(VENV); the first time takes a few minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[server]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@echo "Installing canvaslm and its tests into $(VENV); the first time takes a few minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(CLIENTS)/.installed: tests/clients/requirements.txt | $(BIN)/python
	@echo "Installing other clients into $(CLIENTS); the first time takes a few minutes."
	@$(BIN)/python -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# Only what the installation has not just compiled; without a compiler the package goes without.
$(VENV)/.kernels: $(SOURCES) | $(BIN)/python
	@$(BIN)/python src/canvaslm/kernels/build.py --stale || echo "going on without native kernels" >&2
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "canvaslm needs Python 3.11 or newer: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -f $(BIN)/python; \
		echo "no virtual environment could be made: install Python's venv module" >&2; exit 1; }
