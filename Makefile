# What people and CI run. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
BASE_PYTHON ?= python3
RUN_LIMITS := tests/security/test_run_limits.py::test
CORE_DUMPS := tests/security/test_core_dumps.py::test
TESTS_V2 := tests/unit/controller/cgroup/test_lifecycle.py tests/unit/controller/cgroup/test_slice.py \
	tests/security/test_limits_measured.py tests/security/test_run_resources.py \
	$(RUN_LIMITS)_a_run_over_its_memory_is_killed_and_says_so \
	$(RUN_LIMITS)_a_part_over_the_memory_takes_the_whole_run_along \
	$(RUN_LIMITS)_a_fork_bomb_stops_at_its_processes \
	$(RUN_LIMITS)_a_frozen_run_ends_when_it_is_thawed \
	$(RUN_LIMITS)_what_a_run_leaves_in_the_background_ends_with_it \
	$(RUN_LIMITS)_the_cgroup_is_gone_after_the_run \
	tests/security/test_sandbox_isolation.py::test_a_job_is_alone_in_every_namespace \
	$(CORE_DUMPS)_no_program_of_the_host_is_started_for_a_jobs_crash \
	$(CORE_DUMPS)_nor_for_the_crash_of_somebody_who_came_in \
	$(CORE_DUMPS)_nor_for_a_builds \
	$(CORE_DUMPS)_core_files_are_not_promised_where_no_limit_holds_them \
	tests/unit/controller/sandbox/test_confine.py

.PHONY: help setup demo check check-lint check-types check-contracts check-architecture test test-unit test-slow test-v2 fuzz bench bench-api bench-launch crds docs dev ci clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready ## make .venv from the lock, with hashes

.venv/.ready: requirements-dev.lock scripts/make-venv
	@BASE_PYTHON=$(BASE_PYTHON) scripts/make-venv
	@touch $@

demo: setup ## the main job, end to end, on this host; leaves nothing behind
	@$(PY) -m examples.demo

check: setup ## format, lint, types, contracts, generated files; two at a time
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check-lint check-types check-contracts check-architecture

check-lint:
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .

check-types:
	@$(PY) -m mypy

check-contracts:
	@.venv/bin/lint-imports --no-cache

check-architecture:
	@$(PYTEST) -q tests/architecture

test: setup ## everything CI runs, in two halves beside each other
	@scripts/install-test-tools
	@scripts/install-test-clients
	@scripts/run-tests $(PY)

test-unit: setup ## unit and quick property tests
	@$(PYTEST) -q tests/unit tests/property -m "not slow"

test-slow: setup ## the long ones: hundreds of kills, soak
	@scripts/install-test-tools
	@$(PYTEST) -q -m slow --timeout 1800

test-v2: setup ## the limits tests on unified cgroups, in a small virtual machine (slow)
	@timeout 900 scripts/vm-v2 '$(PYTEST) -v -p no:cacheprovider --timeout 180 $(TESTS_V2)'

fuzz: setup ## property tests with fresh randomness, much longer
	@HYPOTHESIS_PROFILE=fuzz $(PYTEST) -q tests/property --timeout 3600

bench: setup ## ratios against peers and floors, in one run
	@scripts/install-test-tools
	@for bench in tests/bench/bench_*.py; do echo "== $$bench"; PYTHONPATH=.:tests $(PY) $$bench || exit 1; done

bench-api: setup ## what the API costs with 10,000 jobs stored, beside raw SQLite and a bare Starlette route
	@scripts/install-test-tools
	@$(PY) tests/bench/bench_api.py

bench-launch: setup ## launches beside every sandbox that is installed: a table, and its picture for the docs
	@$(PY) tests/bench/bench_launch.py --picture docs/explanation/launches.svg

crds: setup ## write crds/ and the chart's copy from the types
	@$(PY) -m api.crd crds helm/runwright/crds

docs: setup crds ## write the generated reference pages
	@$(PY) -m scripts.reference docs/reference

dev: setup ## a daemon in a temporary directory, and a shell with rnx pointed at it
	@scripts/dev

ci: ## what CI runs, the same command
	@.ci/run

clean: ## remove what the other targets made
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
