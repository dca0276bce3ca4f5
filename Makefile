# Needs Python 3.11 or newer, with venv; everything else is installed into .venv.
.DEFAULT_GOAL := help

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --compile

# TensorFlow imports in 3 s byte-compiled, in 7 s otherwise.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-system bench chaos check lock clean

help: ## Show these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

run: .venv/run.stamp ## Start everything here: Redis, web, worker, a trained digits model
	@$(BIN)/python -m proj.run

test: .venv/dev.stamp ## Run the tests (ARGS="-k name" selects)
	$(BIN)/python -m pytest $(ARGS)

DEBIAN_PACKAGES := buildah chromium-headless-shell debootstrap docker-compose faketime python3-venv
test-system: .venv/dev.stamp ## Run the tests that need root or Debian packages, which it installs where it may
	@if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "Not root, or no Debian: nothing is installed, and what lacks something is skipped"; \
	elif ! dpkg --status $(DEBIAN_PACKAGES) >/dev/null 2>&1; then \
		echo "Installing $(DEBIAN_PACKAGES)"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq --no-install-recommends $(DEBIAN_PACKAGES) >/dev/null; } || [ "$$CI" != true ]; \
	fi
	$(BIN)/python -m pytest tests/system_root $(ARGS)

bench: .venv/dev.stamp ## Measure beside the tutorial's way (ARGS="-s 8 -r 2"), into benchmarks/results
	$(BIN)/python -m benchmarks.run $(ARGS)

chaos: .venv/dev.stamp ## Kill everything at random and count (MINUTES=10 SEED=7), into chaos.json
	$(BIN)/python -m tests.chaos.run --minutes $(or $(MINUTES),1) $(and $(SEED),--seed $(SEED))

check: .venv/dev.stamp ## Lint, types, import contracts, Django's own checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	DEBUG=1 $(BIN)/python manage.py check
	DEBUG=1 $(BIN)/python manage.py makemigrations --check --dry-run

COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate $(UPGRADE)
WORKER_EXTRAS := --extra worker --extra litert --extra onnx --extra images
RUN_EXTRAS := $(WORKER_EXTRAS) --extra server --extra schema --extra embedded --extra demo
lock: .venv/dev.stamp ## Pin versions and hashes anew (UPGRADE=--upgrade takes the newest)
	$(COMPILE) $(RUN_EXTRAS) --extra dev -o requirements-dev.lock
	$(COMPILE) $(RUN_EXTRAS) -c requirements-dev.lock -o requirements-run.lock
	$(COMPILE) $(WORKER_EXTRAS) -c requirements-dev.lock -o requirements-worker.lock
	$(COMPILE) --extra server --extra schema -c requirements-dev.lock -o requirements.lock

clean: ## Remove what the other targets made: .venv, var, the digits model, caches
	rm -rf .venv var models/digits build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/%.stamp: requirements-%.lock pyproject.toml | $(BIN)/python
	@echo "Installing $< into .venv (once; about a minute)"
	@$(PIP_INSTALL) --no-deps --require-hashes -r $<
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/python:
	@for python in "$${PYTHON:-python3.11}" python3; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making .venv with $$("$$python" --version)"; exec "$$python" -m venv --clear .venv; \
		fi; \
	done; \
	echo "Needs Python 3.11 or newer with the venv module: install it, or name it: make PYTHON=/path/to/python3.11"; exit 1
