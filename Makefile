# The project's habits as commands. Each target sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
GENERATED := destination/sdk/__init__.py
COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --quiet
MUTMUT := build/mutmut/bin/mutmut
PORT ?= 50052
PLATFORM ?= .platform
ARGS ?=

# Whatever the environment says: a process of compiled modules starts in a third of the time.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help setup demo serve test test-fast test-versions mutants bench soak sdk sync-demo platform sync-soak lint format lock binary smoke protos clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(GENERATED) ## create .venv, install pinned dependencies, generate code

demo: setup ## run the main job against an embedded PostgreSQL
	$(BIN)/python -m destination_tester.demo

serve: setup ## serve with an embedded PostgreSQL in .serve/ until Ctrl-C
	$(BIN)/python main.py --port $(PORT) --embedded .serve

test: setup ## run all tests, or ARGS=file; EXAMPLES=10 tries ten times as many random cases
	@$(BIN)/python -m tests.sync.sdk || echo "the tests of real sources will skip"
	$(BIN)/python -m pytest $(or $(ARGS),--numprocesses 4 --dist worksteal)

test-fast: setup ## within seconds: the tests that need neither PostgreSQL nor processes, fewer random cases
	EXAMPLES=0.1 $(BIN)/python -m pytest -m "not database and not slow" \
		--quiet --numprocesses 2

test-versions: setup ## the tests about PostgreSQL on versions 13 to 18, or VERSIONS="13 18"; needs Maven
	$(BIN)/python -m tests.versions $(VERSIONS)

mutants: setup $(MUTMUT) ## MODULE=batch/csv: change it in each of many ways, and print what its tests do not notice
	$(BIN)/python -m tests.mutants $(MODULE) $(SAMPLE)

bench: setup $(if $(filter sync,$(BENCH)),sdk) ## BENCH=group: the connector beside psql; results go to benchmarks/results
	$(BIN)/python -m benchmarks $(BENCH)

soak: setup ## minutes of mixed calls under random faults, then tables beside a model
	$(BIN)/python -m tests.soak $(ARGS)

sdk: setup ## build/sdk: an environment with Fivetran's Connector SDK, for sources
	$(BIN)/python -m tests.sync.sdk

sync-demo: sdk ## a Connector SDK source into an embedded PostgreSQL, twice; tables and state are shown
	$(BIN)/python -m local_platform.demo build/sdk/bin/python

platform: setup ## a page and a REST API like Fivetran's at 127.0.0.1:8080, with a PostgreSQL in .platform/
	-@$(BIN)/python -m tests.sync.sdk
	$(BIN)/python -m local_platform serve $(PLATFORM) $(if $(wildcard build/sdk/bin/python),--python build/sdk/bin/python) $(ARGS)

sync-soak: sdk ## syncs killed at 50 moments, and 1,000,000 records in flat memory
	SYNC_KILLS=50 SYNC_RECORDS=1000000 $(BIN)/python -m pytest --override-ini faulthandler_timeout=1800 \
		tests/sync/test_killed.py tests/sync/test_memory.py

lint: setup ## ruff, ruff format, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: setup ## resolve pyproject.toml's dependencies into requirements.lock, and from it the other requirements
	$(BIN)/python -m pip install --quiet uv==0.13.8
	$(COMPILE) pyproject.toml --extra embedded --extra platform --extra dev --upgrade -o requirements.lock
	$(COMPILE) pyproject.toml --constraints requirements.lock -o requirements.txt
	echo mutmut | $(COMPILE) - --constraints requirements.lock --upgrade -o requirements-mutants.txt

binary: ## dist/main, as Fivetran's pipeline makes it: build.sh, then PyInstaller
	test -x build/venv/bin/python || $(PYTHON) -m venv build/venv
	build/venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	build/venv/bin/python -m pip install --quiet --disable-pip-version-check \
		"$$(sed -n 's/^\(pyinstaller==[^ ]*\).*/\1/p' requirements.lock)"
	PYTHON=build/venv/bin/python ./build.sh
	build/venv/bin/pyinstaller --noconfirm --log-level WARN --workpath build/pyinstaller \
		--specpath build --onefile main.py
	ls -lh dist/main

smoke: setup ## run a batch through dist/main
	$(BIN)/python -m tests.smoke_binary

protos: setup ## COMMIT=…: pin the official protos of an SDK commit, if they say what ours say
	PYTHON=$(BIN)/python protos/pin.sh $(COMMIT)

clean: ## remove whatever was generated
	rm -rf $(VENV) destination/sdk protos/upstream build dist .serve .platform

$(INSTALLED): requirements.lock requirements-witness.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-witness.txt
	@touch $@

$(MUTMUT): requirements-mutants.txt
	rm -rf build/mutmut
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/mutmut \
		-r requirements-mutants.txt
	@touch $@

$(GENERATED): $(INSTALLED) build.sh protos/upstream.lock $(wildcard protos/*.proto)
	PYTHON=$(BIN)/python ./build.sh
	@touch $@
