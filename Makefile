# make demo, make test: create .venv with everything installed when needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Touched last, so that an interrupted installation is taken up again.
STAMP := $(VENV)/.installed

.PHONY: help demo test test-all lint

help:
	@echo 'make demo      train and test on generated videos'
	@echo 'make test      the quick tests'
	@echo 'make test-all  all tests'
	@echo 'make lint      check the style'

demo: $(STAMP)
	$(BIN)/python tools/demo.py

# Two at once, each on one core; those of a file share fixtures.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test: lint
	$(PYTEST) -m 'not slow'

test-all: $(STAMP)
	$(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

$(STAMP): setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	sys.exit(None if (3, 10) <= v[:2] <= (3, 12) else "PYTHON=$(PYTHON) is \
	Python %d.%d, and dsts_mmaction needs 3.10 to 3.12: name one of those, \
	such as make PYTHON=python3.11." % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[lite,bench,test,deploy]'
	@touch $@
