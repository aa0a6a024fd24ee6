# Two commands for a newcomer: `make demo` and `make test`. Both do all the set-up; `make help` lists the rest.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The demo and the system tests make a network namespace of their own, which needs root.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E)
KEEP ?=
MINUTES ?= 10
export PYTHONDONTWRITEBYTECODE := 1

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 20

# ---- set-up -------------------------------------------------------------------------------------------------------

build:
	@mkdir -p build

build/.system-demo: requirements/apt-demo.txt | build
	@requirements/install-system-packages requirements/apt-demo.txt
	@touch $@

build/.system-test: requirements/apt-demo.txt requirements/apt-test.txt | build
	@requirements/install-system-packages requirements/apt-demo.txt requirements/apt-test.txt
	@touch $@

build/.runtime: requirements/runtime.txt pyproject.toml build/.system-demo
	@$(call environment,requirements/runtime.txt)
	@touch $@

build/.test: requirements/test.txt pyproject.toml build/.runtime build/.system-test
	@$(call environment,requirements/test.txt)
	@touch $@

build/.node: tests/system/kiosk/package-lock.json tests/protocol/js/package-lock.json build/.system-test
	@for folder in tests/system/kiosk tests/protocol/js; do \
		npm ci --silent --prefix $$folder >build/npm.log 2>&1 || { tail -n 5 build/npm.log >&2; \
		echo "error: the packages of $$folder could not be installed; is the network there?" >&2; \
		echo "  remedy: npm ci --prefix $$folder" >&2; exit 1; }; done
	@touch $@

# $(call environment,LOCK): install LOCK, hashes required, and the project itself into the virtual environment.
define environment
[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { \
	echo "error: no virtual environment could be made." >&2; \
	echo "  remedy: as root, run: apt-get install python3-venv" >&2; exit 1; }; \
echo "installing the Python packages of $(1) ..."; \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) >build/pip.log 2>&1 && \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . >>build/pip.log 2>&1 && \
$(BIN)/python -m compileall -q agent firmware_bridge issuer models || { \
	grep -v '^WARNING' build/pip.log | tail -n 15 >&2; \
	echo "error: the Python packages could not be installed; is the network there?" >&2; \
	echo "  remedy: $(BIN)/python -m pip install --require-hashes -r $(1)" >&2; exit 1; }
endef

setup: build/.runtime ## install system packages and the environment, nothing else

# ---- the two commands ---------------------------------------------------------------------------------------------

demo: build/.runtime ## seven scenarios on simulators, end to end (KEEP=1 leaves it running)
	@$(AS_ROOT) $(BIN)/renzheng demo $(if $(KEEP),--keep)

test: build/.test build/.node check ## all checks and tests
	@$(AS_ROOT) $(BIN)/python -m pytest $(ARGS)

# ---- for maintainers ----------------------------------------------------------------------------------------------

check: build/.test ## style, types, import walls
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "remedy: make format" >&2; exit 1; }
	@$(BIN)/mypy --no-incremental
	@$(BIN)/lint-imports --no-cache --verbose >build/walls.log 2>&1 || { cat build/walls.log; exit 1; }

format: build/.test ## rewrite the code in the house style
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

docs: build/.runtime ## generate docs/failures.md
	@$(BIN)/python -m agent.failures > docs/failures.md

bench: build/.test ## benchmarks
	@$(AS_ROOT) $(BIN)/python -m tests.bench $(ARGS)

lock: ## write the lock files again (needs uv)
	@set -e; compile="uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --quiet \
		--no-header --no-annotate -c requirements/constraints.txt --extra issuer --extra evaluate --extra gm"; \
	$$compile -o requirements/runtime.txt; \
	$$compile --extra dev --extra tpm --extra pkcs11 --extra postgresql -c requirements/runtime.txt \
		requirements/test.in -o requirements/test.txt

clean: ## remove the environment and everything built
	@$(AS_ROOT) rm -rf $(VENV) build *.egg-info

-include packaging/package.mk tests/system/boot/boot.mk models/models.mk tests/hostile/hostile.mk

.PHONY: help setup demo test check format docs bench lock clean
