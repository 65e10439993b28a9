# make demo: the whole system on this machine.  make test: every test.  Both install what they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Most tests wait for processes most of the time, so four share two cores well
JOBS ?= 4

GET_VENV = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
  then apt-get update -qq && apt-get install -y -qq python3-venv; \
  else echo "install the package python3-venv first"; exit 2; fi

.DEFAULT_GOAL := help
.PHONY: help install demo test test-targets lint types bench check docs audit sbom clean

help:  ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

.venv/installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; say which with PYTHON=…"; exit 2; }
	@# Debian ships venv apart from Python: where it is missing and may be had, it is installed
	$(PYTHON) -m venv .venv || { rm -rf .venv; $(GET_VENV) && $(PYTHON) -m venv .venv; }
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

install: .venv/installed  ## Make .venv with everything in it

demo: .venv/installed  ## Run the whole system here and send it every sample event
	$(BIN)/connector demo $(ARGS)

test: .venv/installed lint types  ## Lint, type-check, and run every test
	$(BIN)/connector mappings check
	$(BIN)/connector mappings test
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal -rs $(ARGS)

test-targets: .venv/installed  ## Run the whole system against real servers; needs node 20 and npm
	CONNECTOR_TEST_SERVERS=all $(BIN)/pytest --numprocesses $(JOBS) --dist worksteal -vv -rs \
	  --durations 5 tests/servers $(ARGS)

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/installed
	$(BIN)/mypy

bench: .venv/installed  ## Measure speed, size and waiting times against a plain Flask + RQ receiver
	$(BIN)/python -m bench $(ARGS)

docs: .venv/installed  ## Write the generated pages of docs/ anew
	$(BIN)/python -m connector.schema_page
	$(BIN)/python -m connector.reference
	$(BIN)/connector mappings schema --output docs/mapping.schema.json

.venv/tools/installed: .venv/installed
	$(PYTHON) -m venv .venv/tools
	.venv/tools/bin/pip install --quiet --disable-pip-version-check pip-audit cyclonedx-bom
	@touch $@

audit: .venv/tools/installed  ## Look for known vulnerabilities in the locked dependencies
	.venv/tools/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

sbom: .venv/tools/installed  ## Write the software bill of materials to build/sbom.json (CycloneDX)
	@mkdir -p build
	.venv/tools/bin/cyclonedx-py requirements --pyproject pyproject.toml \
	  --output-file build/sbom.json requirements.lock

clean:  ## Forget what was installed and built
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
