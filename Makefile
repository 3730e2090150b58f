# `make` alone explains every target. Needs only make and Python >= 3.10 with its venv module.
# The environment lives in .venv; stamp files make a second call cost seconds.

.DEFAULT_GOAL := help
.PHONY: help setup demo test check-slow check-slurm check-faults bench docs gpu-check gpu-probe gpu-bench clean

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(if $(REPRTUNE_RUNS),$(REPRTUNE_RUNS),runs)
VENV_MADE := $(VENV)/.made-by-make
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

help:  ## explain the targets (what you see now)
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '  %-12s %s\n' "$$name" "$$text"; done
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter of the environment, WORKERS=4 the workers of the demo."
	@echo "Without a GPU, torch is much smaller to download with"
	@echo "  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo"

setup: $(READY)  ## make the environment in .venv

demo: $(READY)  ## set everything up and run the study repr-ablation on embedded data to its report
	$(BIN)/python cli.py study create repr-ablation
	$(BIN)/python cli.py study run repr-ablation --workers $(WORKERS)
	$(BIN)/python cli.py study report repr-ablation
	@echo
	@echo "Look at:"
	@echo "  the report    $(RUNS)/reports/repr-ablation/report.html"
	@echo "  every run     DO_NOT_TRACK=true $(BIN)/mlflow ui --backend-store-uri sqlite:///$(RUNS)/mlflow.db"

# One more than there are cores, at most 4: tests of workers and of browsers wait much of their time.
TEST_WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n + 1 : 4)))

test: $(READY_DEV)  ## set everything up and pass the checks: ruff, mypy, pytest
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

check-slow: $(READY_DEV)  ## run the slow tests, which `make test` leaves out
	$(BIN)/python -m pytest -m slow --timeout=1800

check-slurm: $(READY_DEV)  ## try a study on a real SLURM of two virtual nodes here; skipped where none is installed
	$(BIN)/python -m pytest -m slow --timeout=1800 tests/work/test_slurm_cluster.py

check-faults: $(READY_DEV)  ## do to a study what can go wrong (kill -9, full disks, silent networks, ...); half an hour
	$(BIN)/python -m tests.faults --jobs $(WORKERS)

bench: $(READY_DEV)  ## measure our training step against a plain loop, side by side
	$(BIN)/python -m benchmarks.step_speed

docs: $(READY)  ## write docs/cli.md out of the commands' own help, docs/methods.md and the table of docs/stopping.md
	$(BIN)/python cli.py reference > docs/cli.md.part
	mv docs/cli.md.part docs/cli.md
	$(BIN)/python cli.py reference --methods > docs/methods.md.part
	mv docs/methods.md.part docs/methods.md
	$(BIN)/python cli.py reference --stopping docs/stopping.md > docs/stopping.md.part
	mv docs/stopping.md.part docs/stopping.md

gpu-check: $(READY_DEV)  ## run the tests that need a GPU; fails where there is none
	@$(BIN)/python -c 'import sys, torch; n = torch.cuda.device_count(); \
	    sys.exit(None if n else f"gpu-check: torch {torch.__version__} sees no CUDA device, so nothing was checked.")'
	$(BIN)/python -m pytest -m cuda tests/gpu

gpu-probe: $(READY_DEV)  ## what only a GPU can show, in under six minutes; on a CPU: does it run?
	$(BIN)/python -m benchmarks.probe --out $(RUNS)/gpu-probe

gpu-bench: $(READY_DEV)  ## seconds per epoch on a GPU, eager and as graphs, beside a plain loop, in 8 minutes
	$(BIN)/python -m benchmarks.gpu --json $(RUNS)/gpu-bench.json

clean:  ## remove what make and the tools made; runs/ and data/ stay
	@if [ -e $(VENV_MADE) ]; then rm -rf $(VENV); \
	elif [ -e $(VENV) ]; then echo "$(VENV) was not made by make: left alone"; fi
	rm -rf build dist reprtune.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find cli.py commands reprtune studies dashboards benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "reprtune needs Python >= 3.10, but $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	    echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $(VENV_MADE)

$(READY): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.'
	@touch $@

$(READY_DEV): $(READY)
	$(INSTALL) --editable '.[dev]'
	@touch $@
