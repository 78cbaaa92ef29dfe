# The one way to build, run and check Heliograph; continuous integration calls the same targets.
#
# The environment is .venv. Stamps inside it remember what has been installed, so a target
# installs again only when the requirements changed:
#   .made     the environment itself
#   .runtime  requirements.txt and the package (enough for `make run`)
#   .dev      requirements-dev.txt on top (for `make test`, `make lint`)

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

CLIENTS := tests/clients
CLIENTS_LOCK := $(wildcard $(CLIENTS)/package-lock.json)
CLIENTS_STAMP := $(CLIENTS)/node_modules/.installed

# Extra arguments: make test ARGS="-k stop", make lock ARGS=--upgrade, make run ARGS="--help"
ARGS ?=

.PHONY: help venv run test lint format docs lock clean test-servers

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

venv: $(DEV) ## make .venv with everything for development

run: $(RUNTIME) ## migrate the database and serve
	@$(BIN)/heliograph migrate
	@exec $(BIN)/heliograph serve $(ARGS)

test: $(DEV) $(if $(CLIENTS_LOCK),$(CLIENTS_STAMP)) test-servers ## run all tests (ARGS="-k name" for some)
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

lint: $(DEV) ## ruff, mypy strict, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## format, and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(DEV) ## write the generated parts of docs/
	@$(BIN)/python scripts/generate-docs

lock: $(DEV) ## pin requirements again (ARGS=--upgrade for newer versions)
	@scripts/lock $(ARGS)

clean: ## remove the environment, caches and build results (not data/)
	rm -rf $(VENV) $(CLIENTS)/node_modules build dist app/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find app tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

test-servers:
	@$(if $(CLIENTS_LOCK),scripts/check-node &&) scripts/install-test-servers

$(MADE):
	@python=$$(scripts/find-python) && echo "Making $(VENV) with $$python" && "$$python" -m venv $(VENV)
	@touch $@

$(RUNTIME): $(MADE) requirements.txt pyproject.toml
	@echo "Installing requirements.txt"
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.txt
	@echo "Installing requirements-dev.txt"
	@# setuptools is pinned by the runtime file, so a source release is built with that one.
	@$(PIP) install --no-build-isolation --require-hashes -r requirements-dev.txt
	@touch $@

$(CLIENTS_STAMP): $(CLIENTS_LOCK)
	@scripts/check-node
	@echo "Installing the JavaScript clients of $(CLIENTS)"
	@cd $(CLIENTS) && npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p $(@D)
	@touch $@
