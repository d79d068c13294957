# Needs GNU make, git and Python 3.11 or newer with venv. Everything else goes into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
NAME = cpnet-world
DATA = ut-interaction
RUN = runs/$(NAME)
TESTS = tests
# Files are shared among the processors; every test computes in one thread.
PARALLEL = --numprocesses auto --maxprocesses 4 --dist loadfile

# Idle OpenMP threads would otherwise spin and slow down everything beside them.
export OMP_WAIT_POLICY ?= PASSIVE

# uv does not read pip's variables; where only pip is configured, uv gets the same index and certificates.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif
export UV_HTTP_TIMEOUT ?= 180

# uv is quicker; pip does the same where uv cannot be had. Every file is checked against the lock. Both OpenCV wheels fill the
# folder cv2/: the headless one goes last, so that no libGL is needed.
define install
$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r $(1) || $(BIN)/python -m pip install --require-hashes -r $(1)
awk '/^opencv-python-headless==/ { block = 1 } block { print } block && !/\\$$/ { exit }' $(1) > $(VENV)/headless.txt
$(BIN)/uv pip install --python $(BIN)/python --reinstall --no-deps --require-hashes -r $(VENV)/headless.txt \
  || $(BIN)/python -m pip install --force-reinstall --no-deps --require-hashes -r $(VENV)/headless.txt
$(BIN)/uv pip install --python $(BIN)/python --no-deps -e . || $(BIN)/python -m pip install --no-deps -e .
$(BIN)/python -c 'import cv2; cv2.resize'
endef

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(VENV)/.installed ## Create .venv with everything that running needs

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==0.13.9 || echo "uv could not be installed; going on with pip"

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)
	@touch $@

$(VENV)/.installed-test: requirements-test.lock $(VENV)/.installed
	$(call install,requirements-test.lock)
	@touch $@

.PHONY: run
run: install ## Start the app on 127.0.0.1:8501 (PORT=8600 for another port)
	$(BIN)/python -m streamlit run app.py --server.address 127.0.0.1 --server.port $(PORT) --server.headless true

.PHONY: test
test: check ## Check the code and run the tests, all but the slow ones (TESTS=tests/clip for some)
	$(BIN)/python -m pytest $(PARALLEL) $(TESTS)

.PHONY: test-slow
test-slow: $(VENV)/.installed-test ## Run the slow tests
	$(BIN)/python -m pytest $(PARALLEL) -m slow $(TESTS)

.PHONY: test-hostile
test-hostile: $(VENV)/.installed-test ## Send every hostile clip and checkpoint and all mutants through the doors (minutes)
	$(BIN)/python -m pytest $(PARALLEL) -m "hostile or not hostile" tests/hostile

.PHONY: check
check: lint types imports ## Check style, types and the direction of imports

.PHONY: lint
lint: $(VENV)/.installed-test ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(VENV)/.installed-test ## Check types
	$(BIN)/mypy

.PHONY: imports
imports: $(VENV)/.installed-test ## Check the direction of imports
	$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.installed-test ## Sort imports and format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: hooks
hooks: $(VENV)/.installed-test ## Let git run the checks before every commit
	$(BIN)/pre-commit install

# Those with videos read them from DATA.
VIDEOS = $(shell grep -q '^\[videos\]' checkpoints/$(NAME)/config.toml && echo --set videos.folder=$(DATA))

.PHONY: checkpoint
checkpoint: install ## Train a shipped checkpoint again from its config (NAME=cpnet-world); goes on where it was stopped
	$(BIN)/python -m vizkit train checkpoints/$(NAME)/config.toml --out $(RUN) --resume $(VIDEOS)

# Those first that others start from.
CHECKPOINTS = $(shell $(BIN)/python -m vizkit.learn.order)

.PHONY: checkpoints
checkpoints: install ## Train all shipped checkpoints again into runs, each from those trained before it (hours)
	for name in $(CHECKPOINTS); do VIZKIT_CHECKPOINTS=runs $(MAKE) checkpoint NAME=$$name; done

.PHONY: worth
worth: install ## Train and measure what each module adds, by checkpoints/worth.toml (hours); goes on where it was stopped
	$(BIN)/python -m vizkit worth checkpoints/worth.toml --out runs/worth
	cp runs/worth/worth.json checkpoints/worth.json
	$(MAKE) tables

.PHONY: pictures
pictures: install ## Draw the pictures of checkpoints/README.md, trained beside untrained
	$(BIN)/python -m vizkit.learn.pictures

.PHONY: gallery
gallery: $(VENV)/.installed-test ## Take the pictures of every page for docs/gallery (needs chromium)
	VIZKIT_GALLERY=docs/gallery $(BIN)/python -m pytest -m slow -k 1280-light tests/browser/test_gallery.py

.PHONY: tables
tables: install ## Write checkpoints/README.md from the cards, and what the models page says of every network
	$(BIN)/python -m vizkit.describe
	$(BIN)/python -m vizkit.learn.table

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock"

.PHONY: lock
lock: ## Lock every package with its hashes again, from pyproject.toml
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra test -c requirements.lock pyproject.toml -o requirements-test.lock

.PHONY: audit
audit: $(VENV)/.installed-test ## Look the locked packages up in a list of known weaknesses (needs pypi.org)
	$(BIN)/python .ci/audit requirements.lock

.PHONY: licences
licences: $(VENV)/.installed-test ## Write the list of licences, docs/licences.md
	$(BIN)/python .ci/licences requirements.lock > docs/licences.md

.PHONY: doctor
doctor: install ## Say what this installation can do
	$(BIN)/python -m vizkit doctor

.PHONY: clean
clean: ## Remove caches and build leftovers
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## Remove the environment too
	rm -rf $(VENV)
