# `make demo` and `make test` set up .venv themselves; nothing but Python 3.11, pip and make is needed.
PYTHON ?= python3.11
# Which torch build: empty takes what pip finds. For a CPU-only build from PyTorch's own index:
#   make TORCH_INDEX=https://download.pytorch.org/whl/cpu demo
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ENSEMBLE ?= demo/training/ensemble
STORAGE ?= demo/service
CASES ?= 360
SEEDS ?= 1
WORKERS ?= 2

.PHONY: demo test check check-install check-image coverage format serve bench soak clean

demo: $(READY)
	$(BIN)/prostate-alm demo --out demo

# one thread a test: several of them wait for each other on a busy machine
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_bundles.py -k "target or names_no_training"

check-install:
	PYTHON=$(PYTHON) tests/check_install.sh

# the install line and the entry point of the service's image, outside a container
check-image:
	PYTHON=$(PYTHON) TORCH_INDEX=$(TORCH_INDEX) tests/docker/check_image.sh

# every branch of the losses
coverage: $(READY)
	$(BIN)/python -m pytest -q tests/losses --cov=prostate_alm.losses --cov-branch --cov-report=
	$(BIN)/python -m coverage report --include="prostate_alm/losses/*" --show-missing --fail-under=100

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

serve: $(READY)
	$(BIN)/prostate-alm serve --ensemble $(ENSEMBLE) --storage $(STORAGE)

# make bench PART=losses
bench: $(READY)
	$(BIN)/python benchmarks/$(PART).py

# the importer against hundreds of generated studies, good and bad, and killed in the middle; killed trainings; the service against damaged studies, killed in the middle and under load
soak: $(READY)
	$(BIN)/python benchmarks/import_corpus.py --cases $(CASES) --seeds $(SEEDS) --dcm2niix --workers $(WORKERS)
	$(BIN)/python benchmarks/import_kills.py
	$(BIN)/python benchmarks/training_kills.py
	$(BIN)/python benchmarks/service_mutants.py
	$(BIN)/python benchmarks/service_kills.py
	$(BIN)/python benchmarks/service_load.py

clean:
	rm -rf $(VENV) demo

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,serve]" --group dev
	touch $(READY)
