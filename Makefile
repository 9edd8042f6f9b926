# `make help` lists the targets. Everything runs from .venv, which is made from the pinned, hashed requirements.
PYTHON ?= python3
ENV ?= dev
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links
# The tests that need the engine and a cluster.
ENGINE_AND_CLUSTER := $(patsubst %,tests/engine/test_%.py,lifecycle protection replicas kinds release live)

.DEFAULT_GOAL := help
.PHONY: help preview test lint unit services test-cluster demo chaos bench schema lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

preview: $(VENV)/runtime ## Compute, check and sum up the whole stack: make preview ENV=dev|staging|prod
	@$(BIN)/agentstack preview $(ENV)

test: lint unit services ## Lint, check types, and run every test that needs no cluster

lint: $(VENV)/dev ## ruff, mypy --strict, which room imports which, and whether generated files are current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/agentstack schema --check

# In the order of the folders: tests/binaries comes first, whose servers take the longest.
unit: $(VENV)/dev ## The tests alone
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder --durations=20 \
		$(addprefix --ignore=,tests/cluster tests/chaos $(ENGINE_AND_CLUSTER))

services: ## The same for the runtime library and the services, which have requirements of their own
	$(MAKE) --directory=services test
	$(MAKE) --directory=runtime test VENV=../services/.venv

demo: $(VENV)/runtime ## Deploy dev to the cluster of KUBECONFIG (DEPLOY=no: it is there), send it a task, show what becomes of it
	@$(MAKE) --silent --directory=services .venv/dev
	@$(if $(filter no,$(DEPLOY)),,$(BIN)/agentstack preview dev --with-dev-secrets >/dev/null)
	@services/.venv/bin/python services/demo.py $(if $(filter no,$(DEPLOY)),,build/dev)

test-cluster: $(VENV)/dev ## Deploy dev to the cluster of KUBECONFIG (by kubectl, and by pulumi if on PATH), test it, remove it
	$(BIN)/python -m pytest --durations=20 tests/cluster
	$(BIN)/python -m pytest --durations=20 $(ENGINE_AND_CLUSTER)

chaos: $(VENV)/dev ## Break Redis and Kafka under load, in namespaces chaos-* of the cluster of KUBECONFIG; ONLY=EXPRESSION
	$(BIN)/python -m pytest tests/chaos $(if $(ONLY),-k '$(ONLY)')

bench: $(VENV)/dev ## Measure preview, diff, check and the policy pack side by side with what they cannot do without
	$(BIN)/python tests/bench/bench.py

schema: $(VENV)/runtime ## Write the JSON Schemas that editors read, and the rules in docs/policies.md
	$(BIN)/agentstack schema

lock: $(VENV)/dev ## Pin the newest allowed versions of all dependencies, with hashes
	$(COMPILE) --upgrade --build-deps-for=editable --output-file=requirements.txt pyproject.toml
	$(COMPILE) --upgrade --extra=dev --constraint=requirements.txt --output-file=requirements-dev.txt pyproject.toml
	$(MAKE) --directory=runtime lock
	$(MAKE) --directory=services lock

clean: ## Remove everything that these targets made
	rm -rf $(VENV) runtime/$(VENV) services/$(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/runtime: requirements.txt pyproject.toml $(VENV)/python
	@$(PIP) install --require-hashes --requirement requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/runtime
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@
