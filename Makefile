# make demo: the whole system on this machine.  make test: every test.  Both install what they need.
PYTHON ?= python3.11
BIN := .venv/bin
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types check docs clean

help:  ## Say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

.venv/installed: pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11 or newer, or say PYTHON=…"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

install: .venv/installed  ## Make .venv with everything in it

demo: .venv/installed  ## Run the whole system here and send it every sample event
	$(BIN)/connector demo $(ARGS)

test: .venv/installed lint types  ## Lint, type-check, and run every test
	$(BIN)/connector mappings check
	$(BIN)/connector mappings test
	$(BIN)/pytest --numprocesses $(JOBS) $(ARGS)

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/installed
	$(BIN)/mypy

docs: .venv/installed  ## Write the generated pages of docs/ anew
	$(BIN)/python -m connector.schema_page > docs/crm-schema.md

clean:  ## Forget what was installed and built
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
