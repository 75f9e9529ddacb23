# The two commands: `make demo` and `make test`. Each sets up .venv where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A CPU build of torch is enough for everything here; set TORCH to choose another.
TORCH ?= torch==2.13.0
DEMO := demo

.PHONY: demo test check check-server lint docs site bench browser clean

$(VENV)/core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

# torch first and alone: any other request would pull gigabytes of GPU libraries.
$(VENV)/dev: $(VENV)/core
	$(PIP) "$(TORCH)"
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/core
	@$(BIN)/python demo.py $(DEMO)

test: $(VENV)/dev browser
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Debian's browser, for the tests of the pages; where it cannot be installed those tests say so and are skipped.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || echo "no chromium: page tests are skipped"

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/dev
	$(BIN)/python docs/generate.py --check
	$(BIN)/mkdocs build --strict --quiet --site-dir site

site: docs
	@echo "open site/index.html"

check: lint docs test

# Our client against real servers, each in an environment of its own under .venv-server. What cannot be installed or started
# here is said and left out. MINUTES is for all of it.
MINUTES ?= 25
check-server: $(VENV)/dev
	TORCH="$(TORCH)" $(BIN)/python tests/servers/lane.py --minutes $(MINUTES)

bench: $(VENV)/dev
	$(BIN)/python benchmarks/edit_cpu.py

clean:
	rm -rf $(VENV) .venv-server $(DEMO) site
