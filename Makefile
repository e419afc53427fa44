# Five words a newcomer needs: demo, test, quick, check, clean.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEV    := $(VENV)/.dev-$(shell cksum < requirements/dev.txt | cut -d' ' -f1)
AGENT  := $(VENV)/.agent-$(shell cksum < requirements/agent.txt | cut -d' ' -f1)

ifeq ($(origin PYTHON)$(filter clean,$(MAKECMDGOALS)),command line)
VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
HELD := $(shell $(BIN)/python $(VERSION))
ifneq ($(HELD),$(if $(HELD),$(shell $(PYTHON) $(VERSION))))
$(error $(VENV) holds Python $(HELD), not $(PYTHON): `make clean` first)
endif
endif

MODE ?= audit

.PHONY: demo cluster test quick check format bench lock clean help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(AGENT) ## play two real recordings through the whole watch and show what it finds
	$(BIN)/watchstander demo

cluster: $(AGENT) ## a real Kubernetes control plane, 20 played GPU nodes, a job and an agent: MODE=audit, approve or enforce
	$(BIN)/python -m testcluster build
	$(BIN)/python -m testcluster.play --mode $(MODE)

# Without its compiled files Python compiles everything anew in each worker and each process of the tests.
test quick: export PYTHONDONTWRITEBYTECODE =

# Four workers on two cores: the two at control planes mostly wait.
test: $(DEV) ## every test, with a real PostgreSQL, a real Kubernetes control plane and real processes
	$(BIN)/python -m testcluster build --with all
	$(BIN)/pytest -n 4 --dist loadgroup --no-loadscope-reorder

quick: $(DEV) ## the inner loop: no database server, no cluster, about a minute
	$(BIN)/pytest -n 2 -m "not postgres and not slow and not cluster" --hypothesis-profile=quick

check: $(DEV) ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV) ## measure everything that docs/benchmarks.md states
	$(BIN)/python -m benchmarks

lock: $(DEV) ## renew the pinned requirements from pyproject.toml (hashes, no registry addresses)
	sh requirements/lock.sh

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-data cluster-data
	find . -name __pycache__ -prune -exec rm -rf {} +

# A half-made environment would be taken for a whole one the next time.
.DELETE_ON_ERROR:

$(VENV)/pyvenv.cfg:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there. Install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "watchstander needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

define install
	@echo "installing $(1) into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1) || { echo "pip could not install $(1) (its own words stand above): it needs to reach a package index, or packages in PIP_FIND_LINKS"; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@
endef

$(AGENT): $(VENV)/pyvenv.cfg requirements/agent.txt pyproject.toml
	$(call install,requirements/agent.txt)

$(DEV): $(VENV)/pyvenv.cfg requirements/dev.txt pyproject.toml
	$(call install,requirements/dev.txt)
