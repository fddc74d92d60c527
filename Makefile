# Everything runs in .venv; nothing needs root. `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The newest Python of 3.11 to 3.14, from the PATH or pyenv, of those that were compiled with optimizations.
PYTHON ?= $(shell sh scripts/find_python.sh)

.PHONY: help setup demo test lint test-unit test-faults bench audit requirements docs run clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv and install everything into it

$(STAMP): requirements-dev.txt requirements.in pyproject.toml
	@sh scripts/setup.sh "$(PYTHON)" "$(VENV)" >&2
	@touch $@

demo: $(STAMP) ## Run the whole service on the sample video; the result goes to stdout as JSON
	@$(BIN)/python scripts/demo.py

test: $(STAMP) lint ## Lint, types, layers and the whole test suite
	$(BIN)/pytest -m "not long" --numprocesses 2 --dist loadfile

lint: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-unit: $(STAMP) ## The tests without I/O
	$(BIN)/pytest tests/unit

test-faults: $(STAMP) ## The tests that break things, in their long form
	$(BIN)/pytest -m long --timeout=3600

bench: $(STAMP) ## All benchmarks, half an hour; one alone: make bench NAMES=one_video
	@$(BIN)/python -m tests.benchmarks $(NAMES)

audit: $(STAMP) ## Ask for known vulnerabilities of the pinned packages; says so when it could not
	@$(BIN)/python scripts/audit.py

requirements: $(STAMP) ## Compile requirements*.txt anew from requirements*.in
	@for name in requirements requirements-dev requirements-gateway; do \
	  $(BIN)/uv pip compile --quiet $$name.in -o $$name.txt --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make requirements" || exit 1; \
	done

docs: $(STAMP) ## Make docs/configuration.md and .env.example anew from the settings
	$(BIN)/coop settings --markdown > docs/configuration.md
	$(BIN)/coop settings --dotenv > .env.example

run: $(STAMP) ## Run the whole service on this machine until Ctrl-C
	@$(BIN)/coop up

clean: ## Remove .venv and what tools left
	rm -rf $(VENV) *.egg-info build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
