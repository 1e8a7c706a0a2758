# make report · make page · make test · make lab · make bench; each sets up .venv itself when it is
# missing. PDF=1 with report or page prints the page, too, by Chromium or Chrome.
# For maintainers: make test-all · make rows · make publish.
PROFILE ?= quick
PYTHON ?= python3
BIN := .venv/bin

# Notebooks run in their own folder: a relative path would mean another place there. By Python, since
# $(abspath) would split at spaces and leaves ~ as it is; "value", for a $ in a name is no variable of
# make; "override", so that it holds for `make report SNIP_DATA=data`, too.
ifdef SNIP_DATA
ABSPATH := import os, sys; print(os.path.abspath(os.path.expanduser(sys.argv[1])))
override export SNIP_DATA := $(shell $(PYTHON) -c '$(ABSPATH)' '$(subst ','\'',$(value SNIP_DATA))')
ifeq ($(SNIP_DATA),)
$(error SNIP_DATA cannot be made a path by $(PYTHON): give make PYTHON=… a Python that is there)
endif
endif

.PHONY: report page test test-all lab bench rows publish

report: .venv/ready
	$(BIN)/python -m sniplab.report $(PROFILE) $(if $(PDF),--pdf)

# The notebooks as they are committed, joined into one page; nothing is run.
page: .venv/ready
	$(BIN)/python -m sniplab.report page $(if $(PDF),--pdf)

test: MARKED := -m "not slow"
test test-all: .venv/ready
	$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	SNIP_PROFILE=smoke $(BIN)/python -m pytest tests notebooks $(MARKED) --nbval-lax --nbval-current-env

lab: .venv/ready
	$(BIN)/jupyter lab notebooks

bench: .venv/ready
	$(BIN)/python tests/benchmark.py

# The runs of the committed report that results/ lacks: hours or days, with checkpoints.
# SECTION=2_architectures does those of one file.
rows: .venv/ready
	$(BIN)/python -m sniplab.report rows $(SECTION)

# The committed report: run the notebooks in place under PROFILE, take over their figures, and write
# the table of claims into the README. One thread each, as make report PROFILE=desktop gives them on
# two cores: the last digits of the two demonstrations depend on it.
publish: .venv/ready
	OMP_NUM_THREADS=1 SNIP_PROFILE=$(PROFILE) $(BIN)/jupyter nbconvert --to notebook --execute --inplace $$($(BIN)/python -m sniplab.report order)
	mkdir -p figures && cp build/$(PROFILE)/figures/* figures/
	$(BIN)/python -m sniplab.report readme

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@
