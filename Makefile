# On first use every target sets up an environment in .venv.
#   make demo    run notebook 00 (calolab-fast, adapted to a changed detector on two engines), and write an HTML page
#   make test    run all tests in two processes; `make test TESTS=tests/simulate` runs some of them in one process
#   make lab     open JupyterLab with the notebooks
#   make bench   measure the figures in docs/measured-figures.md on this machine and save them
#   make train-shipped  make Geant4 showers, train calolab-fast, score it and write its file (3 hours on two cores)
#   make javascript  check rules, format and types of the widgets' JavaScript (needs Node.js)
#   make kernel  register this environment as a Jupyter kernel (for a JupyterHub)
#   make clean   remove the environment and all results (but not the caches)

VENV   ?= .venv
READY  := $(VENV)/.ready
BIN    := $(VENV)/bin
OUT    ?= out
GENERATOR ?= calolab-fast
HOURS  ?= 3
NOTEBOOK ?= notebooks/00_from_engines_to_showers.ipynb
# The first Python with a version that pyproject.toml allows; `make PYTHON=/path/to/python` selects another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)

.PHONY: demo test lab bench train-shipped javascript kernel setup clean
.DELETE_ON_ERROR:

setup: $(READY)

$(READY): pyproject.toml .ci/horovod_wheel.py $(wildcard .ci/horovod/*.patch)
	@test -n "$(PYTHON)" || { echo "calolab needs Python 3.11, 3.12 or 3.13 as python3; specify one: make PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) (minutes on first use) ..."
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Could not create a virtual environment: on Debian and Ubuntu install python3-venv."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[geant4,test]"
	@$(BIN)/python .ci/horovod_wheel.py
	@touch $(READY)

demo: $(READY)
	@CALOLAB_SIZE=demo $(BIN)/python notebooks/execute.py $(NOTEBOOK) --out $(OUT)

test: $(READY)
	@CALOLAB_SIZE=test $(BIN)/python -m pytest $(or $(TESTS),--numprocesses=2 --dist=loadfile --no-loadscope-reorder)

lab: $(READY)
	@JUPYTER_CONFIG_PATH="$(CURDIR)/calolab/widgets/lab$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" $(BIN)/jupyter lab --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

bench: $(READY)
	@$(BIN)/python tests/benchmarks --out $(OUT)

train-shipped: $(READY)
	@$(BIN)/python -m calolab.studies.shipped $(GENERATOR) --out $(OUT)/shipped --hours $(HOURS) --seed 7

javascript: node_modules/.ready
	@npm run --silent check

node_modules/.ready: package.json package-lock.json
	@command -v npm > /dev/null || { echo "The JavaScript checks need Node.js 20 or newer with npm."; exit 1; }
	@npm ci --silent --no-audit --no-fund
	@touch $@

kernel: $(READY)
	@$(BIN)/python -m ipykernel install --user --name calolab --display-name "calolab"

clean:
	rm -rf $(VENV) $(OUT) node_modules build *.egg-info
