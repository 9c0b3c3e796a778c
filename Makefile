# The index of commands: `make` alone prints it. Everything a target needs it sets up itself.

PROFILE ?= s
DATA ?=
FILES ?=
ARGS ?=
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo "$$p" && exit; done; echo python3)

BIN := .venv/bin
READY := .venv/.ready
RUN = @$(BIN)/ledgerline --data $(or $(DATA),$(PROFILE))
# scripts in .venv name the folder they were made in: when that was moved, set up again
MOVED := $(shell grep -qs "$(CURDIR)/$(BIN)" $(BIN)/dbt || rm -f $(READY))

# no tool that is started here reports its use to anyone
export DAGSTER_TELEMETRY_DISABLED = 1
export DBT_SEND_ANONYMOUS_USAGE_STATS = false
export DO_NOT_TRACK = 1
export MLFLOW_DISABLE_TELEMETRY = true
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test up down status load build refresh ui mlflow docs psql lint proof bench bench-loader bench-metrics bench-ml bench-warehouse soak clean

help:
	@echo "Ledgerline: a shop's MongoDB to Postgres marts and models whose numbers can be proven"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 21

$(READY): requirements.lock pyproject.toml sandbox/bootstrap.py loaders/documents/transcoder.c
	@command -v $(PYTHON) >/dev/null || \
		{ echo "error: no python3 on PATH: Python 3.11 to 3.13 with pip is needed" >&2; exit 2; }
	@$(PYTHON) sandbox/bootstrap.py $@

demo: $(READY) ## a shop from MongoDB to marts, models and a page of numbers [PROFILE=xs|s|m|xl] or [DATA=online-retail FILES="a.xlsx b.parquet"]
	$(RUN) demo $(FILES) $(ARGS)

test: lint ## every check and test, against real servers of its own; ends with pytest's summary
	@# a third of the time tests wait for servers and clocks: three processes keep two cores busy
	@$(BIN)/pytest -q --numprocesses 3 --dist loadgroup $(ARGS)

up: $(READY) ## start the sandbox's PostgreSQL and MongoDB-protocol server (nothing if yours are set)
	$(RUN) up

down: $(READY) ## stop the sandbox's servers; the data stays
	$(RUN) down

status: $(READY) ## which servers run, where, how large, and how to connect
	$(RUN) status

load: $(READY) ## MongoDB into the raw schema: only what changed [ARGS="--mode full"]
	$(RUN) load $(ARGS)

build: $(READY) ## dbt build: models, snapshots and tests [ARGS="--select fct_orders+"]
	$(RUN) dbt build $(ARGS)

refresh: $(READY) ## everything that changed: load, build, test, forecast, score, reconcile
	$(RUN) refresh $(ARGS)

ui: $(READY) ## Dagster's UI with the daily schedule, on this machine only
	$(RUN) ui $(ARGS)

mlflow: $(READY) ## MLflow's UI with all versions of the models, on this machine only [ARGS="--port 5001"]
	$(RUN) models ui $(ARGS)

docs: $(READY) ## dbt's documentation with lineage, in the browser
	$(RUN) docs $(ARGS)

psql: $(READY) ## a SQL prompt on the warehouse [ARGS="-c 'select 1'"]
	$(RUN) psql $(ARGS)

lint: $(READY) ## ruff and yamllint (SQL: .venv/bin/sqlfluff lint models)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/yamllint --strict .

proof: $(READY) ## what takes longer: ten increments against a full build, all of Online Retail II against DuckDB [LEDGERLINE_DATA=folder with the Parquet files]
	@PROOF=full $(BIN)/pytest -q --timeout 3600 tests/python/dbt/test_marts_incremental.py tests/python/dbt/test_marts_online_retail.py $(ARGS)

bench: $(READY) ## timed runs, written to benchmarks/
	@$(BIN)/python -m benchmarks $(ARGS)

bench-loader: $(READY) ## the loader beside COPY and other tools, for benchmarks/README.md [ARGS="--docs 20000 --runs 1"]
	@$(BIN)/python -m benchmarks.loader $(ARGS)

bench-warehouse: $(READY) ## builds of the warehouse, from nothing and after a tick, as the shop grows [ARGS="--scales 1 3 --write"]
	@$(BIN)/python -m benchmarks.warehouse $(ARGS)

bench-metrics: $(READY) ## the commonest questions, timed [PROFILE=xl] [ARGS="--write"]
	@$(BIN)/python -m benchmarks.metrics --data $(or $(DATA),$(PROFILE)) $(ARGS)

bench-ml: $(READY) ## the models beside their baselines and the best known methods [DATA=online-retail] [ARGS="--only churn --write"]
	@$(BIN)/python -m benchmarks.ml --data $(or $(DATA),online-retail) $(ARGS)

soak: $(READY) ## 200 kills of loader, Postgres and source, then: is raw the source? [ARGS="--kills 20 --seed 7"]
	@$(BIN)/python -m benchmarks.soak $(ARGS)

clean: $(READY) ## stop the servers and remove what was built [CLEAN_DATA=1 also drops .ledgerline with all data]
	$(RUN) down
	@rm -rf target logs .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
	@$(if $(CLEAN_DATA),$(BIN)/ledgerline down --wipe && rm -rf .ledgerline && echo "Removed .ledgerline: all sandbox data is gone",echo "Kept .ledgerline (data): make clean CLEAN_DATA=1 drops it")
