# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
# Settings: PYTHON (3.11 or newer), PIP_ARGS (e.g. --extra-index-url of CPU builds of torch).

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
# Folder of the datasets' files, for the benchmarks.
DATA ?= data/input

# DVC runs `python -m flows.stage`: the environment's python.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Installed without bytecode (a minute saved): what is imported is compiled once, on first use, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env demo repro report select ui serve work deploy status stop rollback gc test test-fast check lint format \
  typecheck docs headline paper-table bench-quality bench-ablation bench-ceiling bench-convergence bench-faults \
  bench-held-out bench-overhead bench-refresh bench-select bench-speed bench-scale bench-profile \
  bench-training-time peers wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(READY) ## the environment in .venv, every version pinned by constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is too old: Python 3.11 or newer is needed; make env PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "no venv module: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV): about 2 GB, several minutes the first time"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile $(PIP_ARGS) -c constraints.txt -e '.[pipeline,scale,dev]'
	@$(BIN)/python -m flows.plots
	@touch $@

demo: env ## condense MovieLens-100K end to end, show the result and where to look
	@$(BIN)/python -m flows.pipeline

repro: env ## the same job stage by stage with DVC, without Prefect
	@$(BIN)/python -m flows.repair
	@$(BIN)/dvc repro

report: env ## bring results/report.html up to date
	@$(BIN)/dvc repro report

select: env ## rank models and settings on the condensed set and on full data (minutes; after `make demo`)
	@$(BIN)/python -m flows.selection

ui: env ## the MLflow and Prefect pages alone, until Ctrl-C
	@$(BIN)/python -m flows.serve --pages

serve: env ## the pages and the worker of this machine: scheduled runs start, until Ctrl-C
	@$(BIN)/python -m flows.serve

work: env ## a worker alone, for the queue `grid` of a pool that another checkout serves (docs/scaling.md)
	@$(BIN)/python -m flows.serve --worker

deploy: env ## tell the served Prefect what prefect.yaml holds: schedules, parameters, limits
	@$(BIN)/python -m flows.deploy

status: env ## what is served, runs and waits; when each deployment runs next and how it ended last
	@$(BIN)/python -m flows.status

stop: env ## end what `make serve` or `make ui` started, also after a kill
	@$(BIN)/python -m flows.halt

# KEEP=20 keeps more; YES=1 removes.
gc: env ## list what old runs left and nothing needs; with YES=1 remove it
	@$(BIN)/python -m flows.cleanup $(if $(KEEP),--keep $(KEEP)) $(if $(YES),--yes)

test: env lint typecheck ## everything: lint, types, the whole suite with coverage
	@$(BIN)/python -m pytest -p no:cacheprovider -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=90 --durations=25 --durations-min=5

test-fast: env ## the suite without slow and browser tests
	@$(BIN)/python -m pytest -m "not slow and not browser"

check: lint typecheck ## lint and types

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: make format" >&2; exit 1; }

format: env ## format and sort imports
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

typecheck: env
	@$(BIN)/mypy

docs: env ## write the tables and figures of README.md and docs/ from benchmarks/results/
	@$(BIN)/python -m benchmarks.render
	@$(BIN)/python -m benchmarks.figures

# Seconds are those of one core, on either side; a user who does not mind may say otherwise.
headline paper-table bench-%: export OMP_NUM_THREADS ?= 1

headline: env ## 0.5 % of ML-1M against all of it; FRESH=1 measures anew (minutes), MODEL=lightgcn (an hour)
	@$(BIN)/python -m benchmarks.headline --data $(DATA) $(if $(FRESH),--fresh) $(if $(MODEL),--model $(MODEL))

# PART="--dataset ml-100k --ratio 0.25" measures a part, QUICK=1 the small version on generated data (a minute).
paper-table: env ## the paper's whole experiment, on the files in DATA, and docs/results.md (days; goes on where it stopped)
	@$(BIN)/python -m benchmarks.paper --data $(DATA) $(if $(QUICK),--quick) $(PART)

bench-quality: env ## sets of whole users beside full data, on the files in DATA (hours; goes on where it stopped)
	@$(BIN)/python -m benchmarks.quality --data $(DATA)

bench-ablation: env ## what each part of synthetic-users is worth, on ML-1M from DATA (half an hour)
	@$(BIN)/python -m benchmarks.ablation --data $(DATA)

bench-ceiling: env ## what a set that mentions few items can rank at all, on the files in DATA
	@$(BIN)/python -m benchmarks.ceiling --data $(DATA)

bench-convergence: env ## how fast the policy gradient finds a stationary point, on ml-100k and where all masks are known
	@$(BIN)/python -m benchmarks.convergence --data $(DATA)

bench-held-out: env ## users kept out of everything, on ML-1M from DATA (half an hour)
	@$(BIN)/python -m benchmarks.held_out --data $(DATA)

bench-overhead: env ## what Prefect and DVC cost on top of the stage functions, on the files in DATA (an hour)
	@$(BIN)/python -m benchmarks.overhead --data $(DATA)

bench-refresh: env ## condensing anew beside going on from the last set, on the files in DATA (an hour)
	@$(BIN)/python -m benchmarks.refresh --data $(DATA)

rollback: env ## make the previous champion champion again: make rollback REASON="what is wrong"
	@$(BIN)/python -m flows.rollback $(if $(REASON),--reason "$(REASON)")

bench-speed: env peers ## our engines beside RecBole and implicit, on the files in DATA (hours)
	@$(BIN)/python -m benchmarks.speed --data $(DATA)

bench-training-time: env ## training on a quarter of ML-1M from DATA and on all of it, timed in turn (hours)
	@$(BIN)/python -m benchmarks.training_time --data $(DATA)

bench-scale: env ## time and memory at ML-20M's size (minutes)
	@$(BIN)/python -m benchmarks.scale

bench-select: env ## choosing on 0.5 % and 5 % of two MovieLens beside choosing on all of them, on the files in DATA (hours)
	@$(BIN)/python -m benchmarks.selection --data $(DATA)

bench-faults: env ## kills, full disks, lost servers, damaged inputs: break the pipeline and start it again (an hour)
	@$(BIN)/python -m benchmarks.faults

bench-profile: env ## where the engines' time goes, one table each (a minute)
	@$(BIN)/python -m benchmarks.profile --data $(DATA)

# PEERS_PYTHON=… names an environment that is there already.
peers: $(if $(PEERS_PYTHON),,$(PEERS)/.ready) ## the environment of the libraries that we are compared with, apart from ours

$(PEERS)/.ready: benchmarks/peers.txt tests/reference/requirements.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r benchmarks/peers.txt
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps recbole==1.2.1
	@touch $@

wheel: env ## the core as a wheel, in dist/
	@$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove caches and builds; keeps the environment, data and results
	@rm -rf dist build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
