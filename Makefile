# One entry point. `make run` and `make test` do everything themselves; repeated, they do only what changed.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard engine/_fast/*.pyx engine/_fast/*.pxd bench/simulators/smsc/*.pyx bench/simulators/smsc/*.pxd)
export PYTHON
PYTEST := $(BIN)/python -m pytest

.PHONY: run test chaos build lint fast bench bench-compare bench-micro bench-deep fuzz soak screenshots lock clean

run: build  ## start everything: PostgreSQL, engine, control plane, SMSC simulator; Ctrl-C stops it
	@exec $(BIN)/heliograph up

test: build lint  ## lint, types, then the tests on real components, on C and on the plain-Python twins
	@sh deploy/prepare.sh tools
	$(PYTEST) -m "not long"

chaos: build  ## every fault of docs/reliability.md as a test: about half an hour
	$(PYTEST) -m long

build: $(VENV)/.built  ## the virtual environment and the C extensions

$(VENV)/.installed: requirements.lock deploy/prepare.sh
	@sh deploy/prepare.sh venv
	@touch $@

$(VENV)/.built: $(VENV)/.installed setup.py pyproject.toml $(SOURCES)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

lint: build  ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fast: build  ## the tests that need no browser and no long run
	$(PYTEST) -m "not browser and not slow and not long"

bench: build  ## the table of encode, parse, submit, durable, ingest, side by side, as ratios
	@$(BIN)/heliograph bench all

bench-compare: build  ## measure again what bench/baseline.json has; fails where a ratio fell by more than 15 %
	@$(BIN)/heliograph bench compare --run

bench-micro: build  ## pytest-benchmark of the hot functions, C beside their twins; JSON of each run in var/bench
	@sh deploy/prepare.sh tools
	$(BIN)/python -m pytest bench/micro --benchmark-autosave --benchmark-storage=file://var/bench/micro

bench-deep: build  ## instructions a message of the hot functions, by valgrind
	@$(BIN)/heliograph bench deep

soak: build  ## MINUTES=10 SEED=1: faults with changing seeds, one engine's memory watched, then the fuzzers
	@$(BIN)/heliograph chaos --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)
	@$(BIN)/python tests/fuzz/run.py --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

fuzz: build  ## MINUTES=10: every fuzz target, steered by coverage, then under the sanitizers
	@$(BIN)/python tests/fuzz/run.py --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

screenshots: build  ## play the story in Chromium and refresh docs/screenshots
	@sh deploy/prepare.sh tools
	HELIOGRAPH_SCREENSHOTS=docs/screenshots $(PYTEST) -m browser
	@rm -f docs/screenshots/*-1440-dark.png docs/screenshots/*-390-light.png  # of each page, two are kept

lock: build  ## write requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header -o requirements.lock

clean:  ## remove what was built (data in var/ stays)
	rm -rf $(VENV) build dist test-artifacts *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks
	find engine bench -name '*.so' -delete
