# Every target prepares what it needs. `make run` and `make test` are the two to know.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN_STORE ?= sqlite:///$(CURDIR)/var/ringway.db
DEMO ?= config/demo.toml

.PHONY: env run test test-long test-parts test-parts-16 lint format bench lock clean

env: $(READY)

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; say make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "make: $(PYTHON) has no venv module; on Debian install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

run: env
	@mkdir -p var
	@RINGWAY_STORE__URL=$(RUN_STORE) $(BIN)/ringway load $(DEMO)
	@echo "Try it from a second shell:  .venv/bin/ringway call 02079460000 --from 07700900123"
	@RINGWAY_STORE__URL=$(RUN_STORE) RINGWAY_LOG__FORMAT=console exec $(BIN)/ringway serve

# What the tests need beside Python: Asterisk 22 and SIPp. Installs them as root on Debian, names them elsewhere.
test-parts:
	@sh tests/parts/prepare
	@sh tests/parts/prepare-tools

# The long tests run against the oldest Asterisk too, where it can be had.
test-parts-16:
	@sh tests/parts/prepare 16

# Two at a time, each module's tests in one process. For what a test prints (waits, rates): pytest -s FILE, without -n.
TWO := -n 2 --dist loadscope --durations=25

test: env test-parts
	$(BIN)/pytest $(TWO) -m "not long"

test-long: env test-parts test-parts-16
	$(BIN)/pytest $(TWO) -m "long and not alone"
	$(BIN)/pytest -m alone

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Minutes, judged: bench/README.md. BENCH=--save keeps the result.
bench: env
	$(BIN)/python bench/run.py $(BENCH)

# After changing the dependencies in pyproject.toml (needs uv).
lock:
	uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header pyproject.toml -o requirements.lock
	uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header --extra dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) var build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
