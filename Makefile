# The one way to build, run and check Heliograph; continuous integration calls the same targets.
#
# The environment is .venv. Stamps inside it remember what has been installed, so a target
# installs again only when the requirements changed:
#   .made     the environment itself
#   .runtime  requirements.txt and the package (enough for `make run`)
#   .dev      requirements-dev.txt on top (for `make test`, `make lint`)
# The page has its own: node_modules/.installed in app/web, and what it is built to.

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
CLIENTS_NEED_NODE := scripts/check-node 20 "The client tests need" \
	", or run the other tests with $(BIN)/pytest --ignore=tests/clients"

# The page. Folders are among its sources, so that a removed file counts as a change.
WEB := app/web
WEB_LOCK := $(wildcard $(WEB)/package-lock.json)
WEB_STAMP := $(WEB)/node_modules/.installed
WEB_SOURCES := $(shell find $(WEB)/src $(WEB)/public $(WEB)/build 2>/dev/null) \
	$(wildcard $(addprefix $(WEB)/,*.html vite.config.* svelte.config.* tsconfig*.json package.json))
STATIC := app/heliograph/static
PAGE := $(STATIC)/index.html
NEEDS_NODE := scripts/check-node 20.19 "The page needs"

# Extra arguments: make test ARGS="-k stop", make lock ARGS=--upgrade, make run ARGS="--help"
ARGS ?=

# The cluster of the tests; see k8s/README.md.
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' app/heliograph/__init__.py)
IMAGES = heliograph/heliograph:$(VERSION) heliograph/operator:$(VERSION)

.PHONY: help venv web run run-fleet test test-fleet history lint format docs golden lock screenshots \
	clean page-for-run test-servers images kind-up kind-load kind-test kind-down

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

venv: $(DEV) ## make .venv with everything for development

web: $(if $(WEB_LOCK),$(PAGE)) ## build the page, which `make run` serves

run: $(RUNTIME) $(if $(WEB_LOCK),page-for-run) ## build the page, migrate the database and serve
	@$(BIN)/heliograph migrate
	@exec $(BIN)/heliograph serve $(ARGS)

# Its programs are private, on free ports, with data that is gone at the end.
run-fleet: $(RUNTIME) $(if $(WEB_LOCK),page-for-run) ## three replicas behind HAProxy (ARGS="--redis cluster")
	@scripts/install-test-servers redis haproxy postgres
	@exec $(BIN)/python -m tests.fleet $(ARGS)

# The page's own tests start servers of .venv. They come with the whole run only, as does what
# measures and so runs by itself, and the suites of stock clients on a fleet; each part runs
# whatever became of those before.
test: $(DEV) $(if $(CLIENTS_LOCK),$(CLIENTS_STAMP)) web test-servers ## run all tests (ARGS="-k name" for some of Python)
	@result=0; \
	$(if $(ARGS),,$(if $(WEB_LOCK),npm --prefix $(WEB) test || result=1;)) \
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(or $(ARGS),-m "not alone") \
		|| result=1; \
	$(if $(ARGS),,$(BIN)/python -m pytest --numprocesses auto --dist worksteal \
		--fleet cluster tests/clients || result=1;) \
	$(if $(ARGS),,$(BIN)/python -m pytest -m alone --capture no || result=1;) \
	exit $$result

# Each form of Redis takes some minutes: FLEETS=cluster for one of them.
FLEETS ?= standalone sentinel cluster
test-fleet: $(DEV) $(if $(CLIENTS_LOCK),$(CLIENTS_STAMP)) web test-servers ## the suites of clients and browser on three replicas behind HAProxy
	@for redis in $(FLEETS); do \
		echo "Redis: $$redis"; \
		$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not alone" \
			--fleet $$redis $(or $(ARGS),tests/clients tests/browser) || exit 1; \
	done

history: $(DEV) $(if $(CLIENTS_LOCK),$(CLIENTS_STAMP)) test-servers ## what clients see while things die (ARGS="--redis all --fault all")
	@$(BIN)/python -m tests.fleet.history $(ARGS)

lint: $(DEV) $(if $(WEB_LOCK),$(WEB_STAMP)) ## ruff, mypy strict, import layers; the page's linters and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(WEB_LOCK),npm --prefix $(WEB) run lint)
	$(if $(WEB_LOCK),npm --prefix $(WEB) run check)

format: $(DEV) ## format, and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(DEV) ## write the generated parts of docs/, and the chart's values
	@$(BIN)/python scripts/generate-docs
	@$(BIN)/python scripts/generate-chart

golden: $(DEV) ## write what the chart's cases come to, for review
	@GOLDEN=write $(BIN)/python -m pytest --quiet tests/chart/test_render.py -k reviewed

lock: $(DEV) ## pin requirements again (ARGS=--upgrade for newer versions)
	@scripts/lock $(ARGS)

screenshots: $(DEV) web test-servers ## draw the pictures of the documentation
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

images: web ## build the container images
	@k8s/images $(VERSION)

kind-up: ## make a kind cluster with an ingress controller on 127.0.0.1:18080
	@k8s/cluster up

kind-load: images ## load the images into the cluster
	@k8s/cluster load $(IMAGES)

# The cluster goes at the end, whatever became of the tests; KEEP=1 leaves it for a look.
kind-test: $(DEV) $(if $(CLIENTS_LOCK),$(CLIENTS_STAMP)) ## install on a kind cluster and kill things (ARGS="--redis cluster")
	@start=$$(date +%s); result=0; \
	{ $(MAKE) --no-print-directory kind-up kind-load && eval "$$(k8s/cluster env)" && \
		$(BIN)/python -m tests.kind $(ARGS); } || result=1; \
	$(if $(KEEP),,$(MAKE) --no-print-directory kind-down;) \
	echo "kind-test took $$(( ($$(date +%s) - start) / 60 )) min $$(( ($$(date +%s) - start) % 60 )) s"; \
	exit $$result

kind-down: ## delete the cluster
	@k8s/cluster down

clean: ## remove the environment, caches and build results (not data/)
	rm -rf $(VENV) $(CLIENTS)/node_modules $(WEB)/node_modules $(STATIC)
	rm -rf build dist app/*.egg-info operator/*.egg-info operator/build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find app operator tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

test-servers:
	@$(if $(CLIENTS_LOCK),$(CLIENTS_NEED_NODE) &&) scripts/install-test-servers

# A server without Node runs without the page; a page that cannot be built ends it.
page-for-run:
	@if ! $(MAKE) --no-print-directory --question $(PAGE) && \
	    $(NEEDS_NODE) "; the server runs without $(if $(wildcard $(PAGE)),the newest,the) page"; then \
	    $(MAKE) --no-print-directory $(PAGE); \
	fi

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
	@$(CLIENTS_NEED_NODE)
	@echo "Installing the JavaScript clients of $(CLIENTS)"
	@cd $(CLIENTS) && npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p $(@D)
	@touch $@

$(WEB_STAMP): $(WEB_LOCK)
	@$(NEEDS_NODE)
	@echo "Installing what $(WEB) is built with"
	@cd $(WEB) && npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p $(@D)
	@touch $@

$(PAGE): $(WEB_STAMP) $(WEB_SOURCES)
	@$(NEEDS_NODE)
	@echo "Building the page"
	@cd $(WEB) && npm run --silent build
	@touch $@
