# Thin: every target makes .venv by itself where it is missing.
#   make demo                       the two embedded runs, with their reports
#   make demo PIP_ARGS="..."        another index or build of torch, handed to pip
#   make test                       static checks and tests
#   make test WORKERS=8             more processes; each takes one thread and up to 2 GB
PYTHON ?= python3
PIP_ARGS ?=
CORES ?= all
WORKERS ?= 2
CONFIGS ?= config/config.yaml config/planck-ebv.yaml
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint clean

demo: $(VENV)/ready
	@for config in $(CONFIGS); do \
	  test -f "$$config" || { echo "no such configuration: $$config" >&2; exit 2; }; \
	  $(BIN)/snakemake --cores $(CORES) --quiet rules --configfile "$$config" || exit 1; \
	done
	@for config in $(CONFIGS); do \
	  run=$$($(BIN)/python -c 'import sys; from astro_ood.config import load; print(load(sys.argv[1]).run)' "$$config") || exit 2; \
	  echo "report: $(CURDIR)/$$run/report.html"; \
	done

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "astro_ood needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS) --editable '.[workflow,demo,train,diffusers,onnx,notebook,dev]'
	touch $@

clean:
	rm -rf $(VENV) results .snakemake
