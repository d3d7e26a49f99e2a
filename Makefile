# Two commands for a fresh machine with git, make and python3: `make demo` and `make test`.
# Each does all its own set-up in .venv, and is quick the second time.

PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: help demo test lint tutorials docs bench gpu clean
.NOTPARALLEL:

help:
	@echo "make demo   train LeNet on handwritten digits (about a minute)"
	@echo "make test   run the tests, all but the slow ones"
	@echo "make lint   check the code's style"
	@echo "make tutorials  run the notebooks whose text has changed (ARGS=--all for all), and keep them"
	@echo "make docs   the tutorials and every public name as pages: build/docs/index.html"
	@echo "make bench  time nets on this machine's CPU beside PyTorch (20 minutes; ARGS=--quick for 5)"
	@echo "make gpu    test and time the kernels on this machine's GPU (9 minutes; ARGS=--all for more)"
	@echo "make clean  remove what the others made, .venv included"
	@echo "Each sets up what it needs. Another Python than python3: make PYTHON=python3.12 demo"

demo: .venv/minicnn
	.venv/bin/minicnn train lenet --data digits --epochs 20

test: .venv/test
	.venv/bin/python -m pytest -m "not slow" -n auto --maxprocesses 4

lint: .venv/lint
	.venv/bin/python -m ruff check .
	.venv/bin/codespell README.md tutorials/sources tutorials/reference tutorials/*.md

tutorials: .venv/tutorials
	.venv/bin/python tutorials/build.py $(ARGS)

docs: .venv/docs
	.venv/bin/python -m sphinx -E -q -W --keep-going -d build/doctrees \
	    -c tutorials/reference tutorials build/docs

bench: .venv/bench
	.venv/bin/python -m benchmarks.cpu $(ARGS)

gpu: .venv/gpu
	.venv/bin/python benchmarks/gpu.py $(ARGS)
	.venv/bin/python -m benchmarks.tables

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ----------------------------------------------------------------------------
# Set-up. Each stamp is written last, so what failed is done again the next time.
# ----------------------------------------------------------------------------
.venv/made:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "minicnn: '$(PYTHON)' was not found, but Python 3.11 or newer is needed;"; \
	    echo "install it, or name yours: make PYTHON=/path/to/python $(MAKECMDGOALS)"; exit 1; } >&2
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "minicnn: found $$("$(PYTHON)" --version 2>&1) as '$(PYTHON)', but Python 3.11 or newer is needed;"; \
	    echo "install one and name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "minicnn: '$(PYTHON)' has no venv module, but it is needed to set up .venv;"; \
	    echo "on Debian and Ubuntu: apt-get install python3-venv"; exit 1; } >&2
	@echo "Setting up .venv"
	@"$(PYTHON)" -m venv --clear .venv
	@touch $@

.venv/minicnn: setup.py pyproject.toml .venv/made
	@echo "Installing minicnn and what it needs into .venv"
	@$(PIP) --editable .
	@touch $@

# The kernels' tests need a C++ compiler: where there is none, pip brings one (ziglang).
.venv/test: setup.py pyproject.toml .venv/made
	@echo "Installing minicnn and what its tests need into .venv"
	@extras=test; found=; \
	for compiler in $${CXX%% *} g++ clang++; do \
	    "$$compiler" --version >/dev/null 2>&1 && found=yes; \
	done; \
	[ -n "$$found" ] || { echo "No C++ compiler was found: installing ziglang"; extras=test,emulator; }; \
	$(PIP) --editable ".[$$extras]"
	@touch .venv/minicnn $@

.venv/lint: setup.py pyproject.toml .venv/made
	@$(PIP) --editable ".[lint]"
	@touch .venv/minicnn $@

.venv/tutorials: setup.py pyproject.toml .venv/made
	@echo "Installing minicnn and Jupyter's machinery into .venv"
	@$(PIP) --editable ".[tutorials,emulator]"
	@touch .venv/minicnn $@

.venv/docs: setup.py pyproject.toml .venv/made
	@echo "Installing minicnn and Sphinx into .venv"
	@$(PIP) --editable ".[docs]"
	@touch .venv/minicnn $@

.venv/bench: setup.py pyproject.toml .venv/made
	@echo "Installing minicnn and PyTorch into .venv, about a gigabyte"
	@$(PIP) --editable .
	@$(PIP) torch --index-url https://download.pytorch.org/whl/cpu || $(PIP) torch
	@touch .venv/minicnn $@

# CuPy for CUDA 12: make gpu CUDA=cuda12
CUDA ?= cuda13
.venv/gpu: setup.py pyproject.toml .venv/made
	@echo "Installing CuPy and PyTorch into .venv, a few gigabytes"
	@$(PIP) --editable ".[test,$(CUDA)]" torch
	@touch .venv/minicnn $@
