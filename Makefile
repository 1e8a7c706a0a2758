# make report · make page · make test · make lab · make bench; each sets up .venv itself when it is
# missing. PDF=1 with report or page prints the page, too, by Chromium or Chrome.
# CONSTRAINTS=constraints.txt with any of them sets up the exact versions behind the committed report.
# For maintainers: make test-all · make rows · make publish.
PROFILE ?= quick
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready$(if $(CONSTRAINTS),-$(notdir $(CONSTRAINTS)))

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

report: $(READY)
	$(BIN)/python -m sniplab.report $(PROFILE) $(if $(PDF),--pdf)

# The notebooks as they are committed, joined into one page; nothing is run.
page: $(READY)
	$(BIN)/python -m sniplab.report page $(if $(PDF),--pdf)

# Files side by side, a core each: runs of the notebooks, which take seconds, start no workers of
# their own.
test: MARKED := -m "not slow"
test test-all: $(READY)
	$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1 SNIP_PROFILE=smoke $(BIN)/python -m pytest tests notebooks \
		$(MARKED) --nbval-lax --nbval-current-env --numprocesses logical --maxprocesses 8 --dist loadfile

# Copies, so that JupyterLab's autosave leaves the report as it is. Those that are there stay: delete
# build/lab to begin afresh.
lab: $(READY)
	mkdir -p build/lab
	for file in notebooks/*.ipynb; do test -e "build/lab/$${file##*/}" || cp "$$file" build/lab/; done
	$(BIN)/jupyter lab build/lab

bench: $(READY)
	-$(BIN)/pip install --quiet --no-deps sparselab
	$(BIN)/python tests/benchmark.py

# The runs of the committed report that results/ lacks: hours or days, with checkpoints.
# SECTION=2_architectures does those of one file.
rows: $(READY)
	$(BIN)/python -m sniplab.report rows $(SECTION)

# The committed report: renew the numbers in the prose, run the notebooks in place, take over their
# figures, write the tables of claims and the versions behind it all. One thread each: last digits depend on it.
publish: $(READY)
	$(BIN)/python -m sniplab.report prose
	rm -rf build/desktop/figures
	OMP_NUM_THREADS=1 SNIP_PROFILE=desktop $(if $(PDF),SNIP_PDF=1) $(BIN)/jupyter nbconvert --to notebook \
		--ExecutePreprocessor.record_timing=False --execute --inplace $$($(BIN)/python -m sniplab.report order)
	rm -f figures/[0-9]* && cp build/desktop/figures/[0-9]*.png build/desktop/figures/[0-9]*.csv figures/
	$(BIN)/pip list --format=freeze --exclude-editable --exclude pip --exclude sparselab | sed 's/+.*//' > constraints.txt

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[test]' $(if $(CONSTRAINTS),--constraint '$(CONSTRAINTS)')
	touch $@
