# Every target does its own set-up (benchmark/install.py): Python 3.11, make and a package index are all it takes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 5000

.PHONY: help demo test pytest measure parity cluster ray pages speed lint dashboard report status clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

# an environment that another make is installing, whose Python is gone or too old, or whose installation was
# interrupted is not ready
.PHONY: $(READY)
$(READY):
	@$(or $(PYTHON),echo "no python3 found: make PYTHON=/path/to/python3.11 ..." && exit 1 #) benchmark/install.py $(VENV)

demo: $(READY)  ## RD, AST and STFPM on generated data: trained, measured, tabled
	$(BIN)/python run_benchmark.py -m method=rd,ast,stfpm

test: $(READY)  ## lint, types and all tests but the long ones
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: $(READY)  ## all tests but the long ones, without lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

measure: $(READY)  ## the long checks: accuracy on real images, killed sweeps; time of preparing depth
	$(BIN)/python -m pytest -m slow -s
	$(BIN)/python -m tests.datasets.speed

parity: $(READY)  ## compared with the authors' released code (AUTHORS=folder with RD4AD, STFPM, AST, Dinomaly)
	AUTHORS="$(AUTHORS)" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m parity -s tests/parity

cluster: $(READY)  ## launchers on one machine and on Slurm, both kinds of stores (Debian, root)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ".[joblib,slurm,server]"
	$(BIN)/python -m tests.cluster.check_launchers
	$(BIN)/python -m tests.cluster.check_server
	$(BIN)/python -m tests.cluster.check_absence
	$(BIN)/python -m pytest -m slow tests/end_to_end/test_orphans.py

ray: $(READY)  ## the Ray launcher on a cluster of this machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ".[ray]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt hydra-ray-launcher
	$(BIN)/python -m tests.cluster.check_ray

pages: $(READY)  ## reports in a browser, LaTeX compiled, MLflow's pages, 450 cells timed (Debian, root)
	apt-get install -y --no-install-recommends chromium texlive-latex-recommended texlive-fonts-recommended
	$(BIN)/python -m pytest tests/reports -m "slow or not slow"
	$(BIN)/python -m tests.reports.store

speed: $(READY)  ## compared with other libraries (DATA=... WEIGHTS=..., ALL=1: also what takes longer)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ".[joblib]"
	$(BIN)/python -m tests.speed --peers .peers --out results/speed \
		$(if $(DATA),--data $(DATA)) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(ALL),--all)

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

dashboard: $(READY)  ## browse the store with MLflow on http://127.0.0.1:5000 (PORT=...)
	@exec $(BIN)/python -m reports.dashboard --port $(PORT)

status: $(READY)  ## progress of the latest sweep
	$(BIN)/python -m reports.status

report: $(READY)  ## tables, figures and page of the latest sweep again
	$(BIN)/python -m reports

clean:  ## remove the environment, caches and build files; results/ stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
