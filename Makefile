# Two commands on a fresh machine do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := build/demo

# Bytecode is kept: else every worker and every child process compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test tests quick lint types full-size torture fuzz trainer hooks clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('tagflow needs Python 3.11 or newer; make PYTHON=python3.11' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[encoders,suggest,images,train,pandas,dev]'
	$(BIN)/python -c "from pathlib import Path; Path('$(READY)').touch()"

# The main job on the samples, which are not changed: the result goes to another folder. Then both encoders beside
# transformers and open_clip, on a small random checkpoint in SDXL's layout.
demo: setup
	rm -rf $(DEMO)
	$(BIN)/tagflow run data_samples/cluster_4 --encoders stand-in --out $(DEMO)
	@for name in living-room_03 IMG_2041 kept_01; do \
	  echo; diff -u data_samples/cluster_4/$$name.txt $(DEMO)/$$name.txt; done; true
	$(BIN)/python benchmarks/make_checkpoint.py build/small.safetensors --small
	$(BIN)/tagflow models compare build/small.safetensors
	@echo; echo "The audit lies in $(DEMO)/tagflow-audit.parquet; look at it with: $(BIN)/tagflow audit $(DEMO)"

# Files of tests side by side, one more than there are cores, for many of them wait for child processes; and beside
# them the types, which take one core.
WORKERS := $(shell $(PYTHON) -c "import os; print(min(4, (os.cpu_count() or 1) + 1))")
test: setup lint
	$(MAKE) --jobs 2 types tests

tests: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What one runs after each edit, half a minute on two cores: no encoder, no child process, a tenth of the examples
# of every property. Files that are slow as a whole are not even imported.
quick: setup
	TAGFLOW_TESTS=quick $(BIN)/python -m pytest -n auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder \
	  -m "not slow and not full_size and not torture and not precommit and not trainer"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# Both encoders at full SDXL size against transformers and open_clip: about 8 GB of memory.
full-size: setup
	$(BIN)/python -m pytest -m full_size

# The hooks under the real pre-commit, installed from this tree: needs git and the package registry.
hooks: setup
	$(BIN)/python -m pytest -m precommit

# The real sd-scripts, whose folder SD_SCRIPTS_DIR names: it reads and verifies what is planned, agrees with our
# models of it, and trains two steps on the CPU (about 22 GB of memory, else that is skipped). TRAINER_PYTHON names
# its Python; without it one is made in build/trainer.
TRAINER_PYTHON ?= $(firstword $(wildcard $(SD_SCRIPTS_DIR)/venv/bin/python $(SD_SCRIPTS_DIR)/.venv/bin/python))
REAL := $(addprefix tests/training/,test_real_trainer.py sd_scripts/test_trainer_agrees.py \
  sd_scripts/test_settings_file.py setup/test_front_ends.py check/test_rules_real.py check/test_rules_runs.py \
  check/test_rules_optimizers.py check/test_networks_real.py check/test_habits.py check/test_check_training.py \
  plan/test_plan_real.py structure/test_structure_trainer.py doctor/test_doctor_real.py \
  monitor/test_monitor_trainer.py)
trainer: setup $(if $(TRAINER_PYTHON),,build/trainer/.ready)
	TRAINER_PYTHON=$(or $(TRAINER_PYTHON),$(CURDIR)/build/trainer/bin/python) \
	  $(BIN)/python -m pytest -m "trainer or not trainer" $(REAL)

build/trainer/.ready: tests/training/trainer-requirements.txt
	$(PYTHON) -m venv build/trainer
	build/trainer/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	$(BIN)/python -c "from pathlib import Path; Path('$@').touch()"

# So many made-up captions through the stages, with figures; Ctrl-C prints those so far.
FUZZ ?= 1000000
fuzz: setup
	$(BIN)/python tests/torture fuzz --captions $(FUZZ)

# Every kill, fault and other cruelty, with its figures; exit 1 if anything was lost.
torture: setup
	$(BIN)/python tests/torture
	$(BIN)/python -m pytest -m torture tests/captions/test_tidied.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
