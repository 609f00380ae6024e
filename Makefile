# SPDX-License-Identifier: Apache-2.0
# Everything that this repository can do; `make` alone lists it. Nothing but `make lab` and the lab suite needs root.

VENV := .venv
BIN := $(VENV)/bin
TO_RUN := $(VENV)/.made-to-run
TO_DEVELOP := $(VENV)/.made-to-develop
PYTEST := $(BIN)/python -m pytest
# One worker for the lab, which boots machines; the others share the rest.
PARALLEL := -n auto --dist loadgroup
# A prebuilt kernel that fits saves twenty minutes of compiling; without one, the lab builds its own.
ifeq ($(VSMMU_LAB_KERNEL),)
VSMMU_LAB_KERNEL := $(shell requirements/prebuilt-kernel ../shared/lab)
endif
ifneq ($(VSMMU_LAB_KERNEL),)
export VSMMU_LAB_KERNEL
endif

.DEFAULT_GOAL := help
.PHONY: help venv system conformance mutate sweep sweep-lab fuzz run test test-fast test-lab test-cluster test-wheel lab bench docs docs-update regenerate man schemas lock dist deb coverage clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

venv: $(TO_DEVELOP) ## make .venv from the lock (PYTHON=... chooses the interpreter)

$(TO_RUN): requirements/run.txt requirements/make-venv pyproject.toml
	@echo "Making $(VENV) from requirements/run.txt ..."
	@requirements/make-venv $(VENV) requirements/run.txt
	@touch $@

# Who has this has the other too: requirements/run.txt is a part of the lock.
$(TO_DEVELOP): requirements/lock.txt requirements/make-venv pyproject.toml
	@echo "Making $(VENV) from requirements/lock.txt ..."
	@requirements/make-venv $(VENV) requirements/lock.txt
	@touch $(TO_RUN) $@

run: $(TO_RUN) ## the main job, on a built-in host: resolve, explain, check
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/main-job.sh

test: venv system lab coverage ## every test: lint, fast, lab
	$(PYTEST) $(PARALLEL)

test-fast: venv ## every test that needs no lab
	$(PYTEST) $(PARALLEL) -m "not lab"

test-lab: venv lab ## only the lab suite: a real arm64 kernel in QEMU
	$(PYTEST) -m lab

# kubernetes-validate brings 22 MB of schemas, so it lives outside .venv and the lock, as cosmic-ray does.
test-cluster: venv ## manifests and NodeFeatures in a real API server: built from Debian's packages, kept in the lab's cache
	@[ -x build/cluster/bin/kubernetes-validate ] || { python3 -m venv build/cluster && \
		build/cluster/bin/pip install -qq kubernetes-validate==1.37.0; } || echo "no kubernetes-validate: its tests will say so"
	VSMMU_CLUSTER=1 $(PYTEST) -n 0 tests/cluster

test-wheel: venv ## only the locks, and the wheel on each supported Python that is here; says which are not
	$(PYTEST) tests/install

system: ## install the Debian packages that tests use (root, Debian; elsewhere nothing happens)
	@requirements/install-system-packages

# The lab's QEMU is Debian's; QEMU=BINARY is any other of this machine, without KVM: three minutes, no lab.
QEMU ?=
conformance: venv $(if $(QEMU),,lab) ## hold the model against real QEMU: in the lab half an hour, or QEMU=BINARY
	PYTHONPATH=tools $(BIN)/python -m conformance --cases 2000 \
		$(if $(QEMU),--qemu "$(QEMU)",$(if $(VSMMU_LAB_KERNEL),--kernel "$(VSMMU_LAB_KERNEL)"))

# cosmic-ray brings two dozen packages that nothing else here needs, so it lives outside .venv and the lock.
MUTANTS ?= 200
SEED ?= 1
mutate: venv ## which mutants of the model and the policy no test kills (MUTANTS=200 SEED=1: half an hour)
	@[ -x build/mutate/bin/cosmic-ray ] || { python3 -m venv build/mutate && build/mutate/bin/pip install -qq cosmic-ray; }
	nice -n 10 build/mutate/bin/python tools/mutate.py --mutants $(MUTANTS) --seed $(SEED)

# The totals of a whole sweep stand in the manual (docs/reference/robustness.md, by make regenerate).
# A sweep that was ended goes on with: make sweep SWEEP=--resume
SWEEP ?=
sweep: venv ## let every system call fail in turn, and kill at each: all verbs, the hook (half an hour)
	PYTHONPATH=tools nice -n 10 $(BIN)/python -m sweep --write tools/sweep/results.json $(SWEEP)

# Two labs side by side. The totals are noted every few calls: SWEEP=--resume goes on with this one, too.
sweep-lab: venv lab ## kill probe --bind at each of its calls, on a real kernel with real drivers (an hour)
	VSMMU_LAB_KILLS=0 VSMMU_LAB_KILLS_RESUME=$(SWEEP) VSMMU_LAB_KILLS_TOTALS=tools/sweep/lab_results.json \
		$(PYTEST) -n 2 --dist load tests/lab/test_probe_killed.py

# atheris brings a libFuzzer of its own and nothing else here needs it, so it lives outside .venv and the lock, too.
N ?= 100000
READERS ?=
fuzz: venv ## fuzz every reader with atheris (N=100000 inputs each, READERS="domain facts"): an hour or two
	@[ -e build/fuzz/made ] || { python3 -m venv build/fuzz && build/fuzz/bin/pip install -qq atheris && \
		build/fuzz/bin/pip install -qq --require-hashes -r requirements/run.txt && touch build/fuzz/made; }
	PYTHONPATH=src:tools nice -n 10 build/fuzz/bin/python -m fuzz --inputs $(N) --write tools/fuzz/results.json $(READERS)

# Where the lab cannot be built, its tests say so and skip; in CI they fail.
lab: venv ## build what the lab needs (root, Debian; cached outside the checkout)
	@$(BIN)/vsmmu lab build $(if $(VSMMU_LAB_KERNEL),--kernel "$(VSMMU_LAB_KERNEL)") || \
		echo "The lab cannot be built here; the lab suite will say so."

# An installed wheel is measured, not the checkout, in an environment that has the peers in Python, too; virt-xml
# and jq are Debian's. A peer that is not there is left out, and the page says so. Each bench measures, whatever
# the others found, and nothing is left of an earlier run; the last line says which aims are met, and fails if one is not.
BENCH := build/bench/bin
bench: venv ## start, hook, run, growth, emulate, fleet, probe: bench/results.json, its page, and which aims are met
	@command -v virt-xml >/dev/null && command -v jq >/dev/null || [ "$$(id -u)" != 0 ] || \
		! command -v apt-get >/dev/null || sh src/vsmmu/lab/apt-install.sh virtinst jq >/dev/null
	@[ -e $(BENCH)/duckdb-is-there ] || { $(BIN)/python -m venv --clear build/bench && \
		$(BENCH)/pip install -qq --disable-pip-version-check --require-hashes -r requirements/run.txt && \
		{ $(BENCH)/pip install -qq --disable-pip-version-check duckdb && touch $(BENCH)/duckdb-is-there || true; }; }
	@rm -rf build/bench/dist; $(BIN)/python -m build --wheel --no-isolation --outdir build/bench/dist . >/dev/null && \
		$(BENCH)/pip install -qq --disable-pip-version-check --no-deps --force-reinstall build/bench/dist/*.whl
	@rm -f bench/results.json
	$(BENCH)/python bench/main.py
	$(BENCH)/python bench/hook/main.py
	$(BENCH)/python bench/growth.py
	-$(BENCH)/python bench/run/main.py
	-$(BIN)/python bench/emulate/bench.py
	-$(BENCH)/python bench/fleet/run.py
	-$(BENCH)/python bench/probe/run.py
	-$(BIN)/python bench/server/main.py --json bench/server/results.json
	VSMMU_REGENERATE=1 $(PYTEST) -q tests/docs/test_docs_reference.py -k "performance or robustness"
	@$(BIN)/python bench/aims.py

docs: venv ## the manual as HTML, in docs/_build/html
	$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

docs-update: venv ## run the examples in README.md and docs/ and write down what they print
	VSMMU_REGENERATE=1 $(PYTEST) -q tests/docs
	git diff --stat -- README.md docs

regenerate: venv ## write golden files, generated documents and schemas anew; look at the difference
	-VSMMU_REGENERATE=1 $(PYTEST) -q $(PARALLEL) -m "not lab"
	git status --short

man: venv ## write the man pages anew, in packaging/man (man -l packaging/man/vsmmu.1)
	VSMMU_REGENERATE=1 $(PYTEST) -q tests/docs/test_docs_reference.py -k generated
	git status --short packaging/man

schemas: venv ## write the JSON Schemas and the generated pages of the reference
	VSMMU_REGENERATE=1 $(PYTEST) -q tests/docs/test_docs_reference.py -k generated
	git status --short docs/reference

# With the oldest Python that has to do: what it can install, a newer one can. (Debian 12 has 3.11.2.)
LOCK_PYTHON ?= /usr/bin/python3
UPGRADE ?= --upgrade
PIP_COMPILE = build/lock/bin/pip-compile -q --generate-hashes --allow-unsafe --no-strip-extras --annotation-style line \
	--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# pip-compile keeps the pins it finds in its output: starting from the whole lock, the other two become parts of it.
lock: ## pin the newest versions that pyproject.toml allows (UPGRADE= keeps those of the lock that fit)
	$(LOCK_PYTHON) -m venv --clear build/lock
	build/lock/bin/pip install -qq pip-tools
	build/lock/bin/python requirements/wanted.py lock | $(PIP_COMPILE) $(UPGRADE) -o requirements/lock.txt -
	for part in run image; do \
		cp requirements/lock.txt requirements/$$part.txt && \
		build/lock/bin/python requirements/wanted.py $$part | $(PIP_COMPILE) -o requirements/$$part.txt - || exit; \
	done

# Traced are the packages that decide on values: 15 seconds of one processor. Raise the bound when it can be.
COVERED := policy smmuv3
coverage: venv ## hold the share of lines of the policy and the registers that unit tests run
	$(PYTEST) -q $(COVERED:%=tests/unit/%) $(COVERED:%=--cov=vsmmu.%) --cov-report=term:skip-covered --cov-fail-under=91

# The wheel is built from the sdist, so that both have everything.
dist: venv ## sdist and wheel in dist/, checked
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/twine check --strict dist/*

deb: dist ## the Debian package in dist/, built, checked and tried in Debian 13 directories (root, Debian)
	$(BIN)/python packaging/deb/make.py dist/*.tar.gz dist

clean: ## remove the environment and everything built (not the lab's cache: vsmmu lab clean)
	rm -rf $(VENV) build dist docs/_build .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
