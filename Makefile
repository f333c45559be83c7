# Two commands do everything: `make demo` and `make test`. Both create .venv on first use and
# bring it up to date when setup.py or constraints.txt changes.
#
#   make demo PYTHON=python3.12       another interpreter (3.11 to 3.13)
#   make test PYTEST_ARGS="-k memory" part of the tests
#   make notebooks NOTEBOOKS=track_your_video   one of them
#   make test WITH_TORCH=1            install the torch reference too (default on Python 3.11)

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
NOTEBOOKS ?=
WORKERS ?= 2

# `python3` names different versions on different machines: the stamps carry the version, so another
# interpreter gets a fresh .venv instead of a mixture of two.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
RUN := $(VENV)/bin/python
RUNTIME := $(VENV)/.installed-$(VERSION)-runtime

# The parity tests need torch. It is installed by default on Python 3.11, which CI uses, and wherever
# parity is required; elsewhere they skip with a reason.
ifeq ($(VERSION),3.11)
WITH_TORCH ?= 1
else
WITH_TORCH ?= $(if $(filter 1,$(SURGJAX_REQUIRE_PARITY)),1,0)
endif
comma := ,
DEV_EXTRAS := dev,viz,tb$(if $(filter 1,$(WITH_TORCH)),$(comma)torch)
DEV := $(VENV)/.installed-$(VERSION)-$(subst $(comma),-,$(DEV_EXTRAS))

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint types imports format notebooks parity-official clean

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

$(RUNTIME): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("surgjax needs Python 3.11 to 3.13; $(PYTHON) is %d.%d. Try: make PYTHON=python3.12" % v)'
	@if [ -x $(RUN) ] && [ "$$($(RUN) -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$(VERSION)" ]; \
	  then true; else echo "Creating $(VENV) with Python $(VERSION)"; $(PYTHON) -m venv --clear $(VENV); fi
	@echo "Installing surgjax into $(VENV) (a minute or two, once)"
	$(RUN) -m pip install -qq -c constraints.txt -e .
	@touch $@

# TrackEval, which the tracking scores are compared with, asks for opencv-python: that package would
# overwrite the files of opencv-python-headless. All else that it needs is there, so: --no-deps.
$(DEV): $(RUNTIME)
	$(RUN) -m pip install -qq -c constraints.txt -e '.[$(DEV_EXTRAS)]'
	$(RUN) -m pip install -qq -c constraints.txt --no-deps trackeval
	@touch $@

demo: $(RUNTIME) ## track the bundled clip into demo_output/ and print its J&F
	$(RUN) -m experiments.demo

test: lint types imports ## lint, types, import contracts and tests
	$(RUN) -m pytest -n $(WORKERS) $(PYTEST_ARGS)

test-slow: $(DEV) ## the tests marked slow (long streams, full-size models)
	$(RUN) -m pytest -m slow $(PYTEST_ARGS)

lint: $(DEV) ## ruff, rules and format
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(DEV) ## pyright
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN) -m pyright

imports: $(DEV) ## who may import whom
	$(VENV)/bin/lint-imports

parity-official: $(DEV) ## compare with the original PyTorch code, sam2 1.1.0 (not part of `make test`)
	$(RUN) -m tests.parity.official
	$(RUN) -m pytest tests/parity/test_official_training.py tests/parity/test_clip_loss.py tests/parity/test_automatic_masks.py

notebooks: $(DEV) ## run the notebooks as a reader would, into notebooks/executed/
	$(RUN) -m tests.notebooks.running $(NOTEBOOKS)

format: $(DEV) ## let ruff fix and format
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean: ## remove everything that make created
	rm -rf $(VENV) demo_output parity_output notebooks/executed notebooks/results build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
