# hunter-gatherer: everything a developer runs. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# gatherer needs CPython 3.11 or newer; the newest on PATH is taken.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
REPORTS := dist/reports
PYTEST := $(BIN)/pytest -q
# Programs that integration and cluster tests run; installed by `make test` when it is root.
DEBIAN := strace runc busybox-static gcc libc6-dev qemu-user-static docker-compose
# Unpacked below dist/, not installed: its package would start a system service.
EXPORTER := dist/debian/usr/bin/prometheus-node-exporter

# Which tests run: `make test-all` runs those too that are marked as long.
SELECTED := -m "not long"
# A time namespace of its own keeps apart which hunter of the node traces with eBPF.
APART := $(shell unshare -T true 2>/dev/null && echo unshare -T --)
suite = $(APART) $(PYTEST) $(2) $(SELECTED) -o cache_dir=.pytest_cache/$(1) --junitxml=$(REPORTS)/$(1).xml
# Two parts of about the same length each.
CLUSTER_1 := $(wildcard tests/cluster/test_[a-g]*.py)
CLUSTER_2 := $(filter-out $(CLUSTER_1),$(wildcard tests/cluster/test_*.py))
INTEGRATION_1 := $(wildcard tests/integration/test_[a-g]*.py tests/integration/test_hunter_[a-e]*.py)
INTEGRATION_2 := $(filter-out $(INTEGRATION_1),$(wildcard tests/integration/test_*.py))

.PHONY: help
help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(STAMP)  ## make the virtual environment

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no CPython 3.11 or newer on PATH; install one" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

.PHONY: demo
demo: $(STAMP)  ## trace a small leaking program on this machine for 10 s
	$(BIN)/gatherer demo

.PHONY: test
test: $(STAMP) system-packages  ## all checks and tests but the long ones
	@rm -rf $(REPORTS)
	@$(MAKE) --no-print-directory lint types unit unit-floor
	@status=0; $(MAKE) --no-print-directory --jobs 4 --keep-going --output-sync=target \
	  integration-1 integration-2 cluster-1 cluster-2 || status=1; \
	$(BIN)/python .ci/tally.py $(REPORTS) || status=1; exit $$status

$(EXPORTER):
	@mkdir -p dist/debian; cd dist/debian; get="apt-get download -qq prometheus-node-exporter"; \
	{ $$get || { apt-get update -qq && $$get; }; } >/dev/null 2>&1 && dpkg-deb -x prometheus-node-exporter_*.deb . || \
	echo "left out: prometheus-node-exporter (not Debian, or no network): tests that need it are skipped and say so"

.PHONY: test-all
test-all:  ## all checks and tests
	@$(MAKE) --no-print-directory test SELECTED=

.PHONY: system-packages
system-packages: $(EXPORTER)
	@missing=""; for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing$$missing"; \
	  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	else echo "left out:$$missing (not root, or not Debian): tests that need them are skipped and say so"; fi

.PHONY: lint
lint: $(STAMP)  ## ruff and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python build/make_native.py --check

.PHONY: types
types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

.PHONY: unit
unit: $(STAMP)  ## unit tests: no processes, no sockets
	$(PYTEST) tests/unit --junitxml=$(REPORTS)/unit.xml

.PHONY: unit-floor
unit-floor:  ## unit tests of hunter, shared and guests on CPython 3.8 and 3.9
	@tests/unit/floor.sh $(REPORTS)

.PHONY: integration
integration: $(STAMP)  ## real processes, with strace and psutil as oracles
	$(call suite,integration,tests/integration)

.PHONY: cluster
cluster: $(STAMP)  ## the stand-in cluster: API server over real containers
	$(call suite,cluster,tests/cluster)

.PHONY: integration-1 integration-2 cluster-1 cluster-2
integration-1: $(STAMP)
	$(call suite,integration-1,$(INTEGRATION_1))
integration-2: $(STAMP)
	$(call suite,integration-2,$(INTEGRATION_2))
cluster-1: $(STAMP)
	$(call suite,cluster-1,$(CLUSTER_1))
cluster-2: $(STAMP)
	$(call suite,cluster-2,$(CLUSTER_2))

.PHONY: test-cluster
test-cluster: $(STAMP)  ## the cluster tests on the cluster that KUBECONFIG names; what does not apply is named
	CLUSTER=real $(APART) $(PYTEST) $(or $(TESTS),tests/cluster) --timeout 300 --junitxml=dist/test-cluster.xml

.PHONY: cluster-up
cluster-up: $(STAMP) system-packages  ## start the stand-in cluster for people; prints a kubeconfig
	$(BIN)/python -m tests.cluster.standin

# Programs that boot a kernel; installed by `make test-kernels` when it is root.
QEMU := qemu-system-x86 cpio busybox-static gcc libc6-dev
.PHONY: test-kernels
test-kernels: DEBIAN := $(QEMU)
test-kernels: $(STAMP) system-packages  ## captures on Debian's 5.10, 6.1, 6.12 and newest kernel under qemu; minutes each
	$(BIN)/python -m tests.kernels $(KERNELS)

.PHONY: soak
soak: $(STAMP)  ## the samples of the tests at their full counts
	HYPOTHESIS_PROFILE=soak $(PYTEST) tests/unit --timeout 1200
	HYPOTHESIS_PROFILE=soak $(PYTEST) tests/cluster/test_fleet_size.py -s
	HYPOTHESIS_PROFILE=soak $(PYTEST) tests/cluster/test_chaos.py tests/cluster/test_gatherer_kills.py \
	  tests/cluster/test_slow_link.py tests/cluster/test_rejoin.py -s
	HYPOTHESIS_PROFILE=soak $(PYTEST) tests/integration/test_hunter_kills.py -s --timeout 1800
	HYPOTHESIS_PROFILE=soak $(APART) $(PYTEST) tests/integration/test_hunter_stuck.py -s --timeout 3600
	HYPOTHESIS_PROFILE=soak $(PYTEST) tests/integration/test_hunter_hostile.py --timeout 600
	HYPOTHESIS_PROFILE=soak $(APART) $(PYTEST) tests/integration/test_ledger.py --timeout 1800
	HYPOTHESIS_PROFILE=soak $(APART) $(PYTEST) tests/integration/test_two_hunters.py tests/cluster/test_two_captures.py -s --timeout 600
	HYPOTHESIS_PROFILE=soak $(PYTEST) tests/integration/test_strace_agreement.py --timeout 1200
	HYPOTHESIS_PROFILE=soak $(PYTEST) tests/integration/test_hunter_placement.py tests/integration/test_hunter_tracers.py --timeout 2400

.PHONY: bench
bench: $(STAMP)  ## speed as ratios, measured side by side in one run
	$(BIN)/python -m tests.bench $(ARGS)

.PHONY: zipapp
zipapp: $(STAMP)  ## dist/hunter.pyz
	$(BIN)/python build/make_zipapp.py dist/hunter.pyz

.PHONY: bundle
bundle: $(STAMP)  ## dist/hunter-bundle-ARCH.zip, the Python for containers without one
	$(BIN)/python build/make_bundle.py

.PHONY: native
native: $(STAMP)  ## rebuild what hunter has in C: the hot loop, the BPF programs
	$(BIN)/python build/make_native.py

.PHONY: clean
clean:  ## remove what was made, except the virtual environment
	rm -rf dist strace-logs .cluster .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find hunter gatherer shared build tests -name __pycache__ -type d -prune -exec rm -rf {} +
