# `make demo` and `make test` are the first commands to try. All commands run in the environment .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed
PACKAGES := models options data util scripts train.py test.py
# make test COVERAGE=1 also measures which lines the tests run, which takes a third longer
COVERED  := $(if $(COVERAGE),--cov=models --cov=options --cov=data --cov=util --cov-report=term --cov-fail-under=90)

.PHONY: setup demo test test-learning test-native lint format clean

setup: $(STAMP)

$(STAMP): requirements.txt requirements-visdom.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.12 setup"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -r requirements.txt -r requirements-dev.txt
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt \
	  $(BIN)/pip install -r requirements-visdom.txt
	@touch $(STAMP)
	@echo 'installed; activate the environment with: source $(VENV)/bin/activate'

demo: setup
	$(BIN)/python scripts/demo.py

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile $(COVERED)

test-learning: setup
	$(BIN)/python -m pytest -m learning -s

test-native: setup
	$(BIN)/python scripts/check_native.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf checkpoints results .pytest_cache .ruff_cache .mypy_cache .coverage
