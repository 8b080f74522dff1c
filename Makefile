# Needs Python >= 3.11, make, and for `make setup` a network to the package index.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup lint format test soak coverage bench reference demo manifests clean
MAKEFLAGS += --no-print-directory

UV_VERSION := 0.13.9
IS_SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))
# The first that runs and is new enough; `make setup PYTHON=...` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(IS_SUPPORTED)' 2>/dev/null && echo "$$python" && break; done)
BIN := .venv/bin
# Test processes at once; 0 runs the tests one after another in this process.
WORKERS ?= 2
PYTEST := $(BIN)/pytest

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.synced ## Make .venv with all that the other targets need

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "make setup: no Python >= 3.11 on PATH; name one: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c '$(IS_SUPPORTED)' || { echo "make setup: $(PYTHON) is no Python >= 3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "make setup: $(PYTHON) lacks its venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear .venv

.venv/.synced: pyproject.toml uv.lock Makefile | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	VIRTUAL_ENV= UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --quiet --frozen
	@touch $@

lint: setup ## Check lint, format, strict types, layers and the tests' docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(BIN)/mypy demo/*.py docs/*.py examples/*.py deploy/chart/mendloop/files/*.py
	$(BIN)/lint-imports
	$(BIN)/interrogate tests

format: setup ## Format the code and make the linter's safe repairs
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

test: lint ## Run lint, then every test with about a tenth of the full figures; CI runs this
	$(PYTEST) -n $(WORKERS)

soak: setup ## Run every test with the full figures, one after another; takes long
	MENDLOOP_SOAK=1 $(PYTEST) -n 0
	MENDLOOP_SOAK=1 MENDLOOP_KUBERNETES=v1.34 $(PYTEST) -n 0 -m kubernetes

coverage: setup ## Run the tests and show the lines and branches that none of them reaches
	$(PYTEST) -n $(WORKERS) --cov --cov-report=term-missing:skip-covered

bench: setup ## Print the speed ratios that the project holds itself to
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/cluster.py
	$(BIN)/python benchmarks/history.py

reference: setup ## Write the pages of docs/ that are made from the code
	for page in cli library; do $(BIN)/python docs/reference.py $$page > docs/$$page.md || exit; done

demo: setup ## Lint a released package in a loop, then a loop that gets nowhere; under 2 minutes
	$(BIN)/python demo/run.py

manifests: setup ## Write what of deploy/ is made from the chart and from the service's settings
	PYTHONPATH=tests/support $(BIN)/python -m manifests

clean: ## Remove what the other targets made, except .venv
	rm -rf .demo dist build .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
