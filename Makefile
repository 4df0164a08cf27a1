# Two commands: `make quickstart` runs the main job on the embedded sample week, `make test` sets up and passes the tests.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: quickstart test check lint types table resplits peers week formats tracking ingest-speed report-picture checks alarms load notebooks clean

quickstart: $(VENV)/.train
	$(BIN)/pointsman quickstart --out quickstart

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: lint types test

lint: $(VENV)/.dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

# The README's table on real outcomes and the sample week's picture, rewritten in place by the commands that measure them.
table: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/real_outcomes.py --readme README.md

# Do the promises hold, and how does pointsman stand beside its peers: about an hour on two cores.
resplits: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/resplits.py --readme README.md

peers: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/peers.py --readme README.md

week: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/sample_week.py --readme README.md --picture notebooks/images/sample_week.png

# The README's picture of the report that quickstart wrote; needs Chromium.
report-picture: $(VENV)/.dev quickstart
	$(BIN)/python tests/benchmarks/report_picture.py --page quickstart/report.html --picture notebooks/images/report.png

# Run the notebooks and keep their outputs: about eight minutes.
notebooks: $(VENV)/.dev
	$(BIN)/python notebooks/execute.py

# The tables of features/INGEST.md: which columns each format gives; how fast a million rows are read.
formats: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/formats_table.py --page features/INGEST.md

tracking: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/tracking_names.py --page training/TRACKING.md
	$(BIN)/python tests/benchmarks/tracking_overhead.py --page training/TRACKING.md

ingest-speed: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/ingest_speed.py --rows 1000000 --page features/INGEST.md

# The tables of policies/AUDIT.md: the checks at once; false alarms and power in about ten minutes of CPU.
checks: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/audit_checks.py policies/AUDIT.md

alarms: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/audit_alarms.py --samples 200 --planted 60 --workers 2 --page policies/AUDIT.md

# The tables of policies/LOAD.md: about two minutes, half of it a real run that waits.
load: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/load_validation.py --page policies/LOAD.md
	$(BIN)/python tests/benchmarks/load_speed.py --page policies/LOAD.md

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.train: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing pointsman[train] into $(VENV) (about two minutes)"
	$(PIP) -e '.[train]'
	touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing pointsman[dev] into $(VENV) (about two minutes)"
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.train

clean:
	rm -rf $(VENV) quickstart build dist
