# make book: the environment, every notebook in the quick profile, the site.   make full: the same on all data; the
# verdicts are kept in results/claims, what it took in results/costs.json.   make sweep: trainings over λ, sizes, seeds.
# Other settings: make full SETTINGS="device=cuda seed=1"
# make release: the full book with its PDF, and what is published beside it, in _build/release.

PYTHON ?= python3
CORES ?= all
# Megabytes that jobs may take together, side by side.
MEMORY ?= 8000
book: MEMORY = 2100
WORKERS ?= 2
PROFILE ?= quick
BIN := .venv/bin
SNAKEMAKE = $(BIN)/snakemake --cores $(CORES) --resources mem_mb=$(MEMORY) --nolock --rerun-incomplete --keep-going --quiet rules host reason $(FEW) --config

# Every job that ends makes Snakemake look through all that wait once more in each of these spans (github.com/snakemake/snakemake/pull/3744
# tells why): of hundreds it looks at few, and seldom.
full release sweep: FEW = --max-jobs-per-timespan 1000/30s --scheduler-subsample 16

# OpenMP threads of torch, numba and BLAS must not spin while others work.
export OMP_WAIT_POLICY := PASSIVE
export PYTHONHASHSEED := 0

.PHONY: book full release links sweep test check stress lint verify accept processors report audit serve bench peers lock clean

book: .venv/book
	@$(SNAKEMAKE) profile=quick $(SETTINGS)
	@$(BIN)/wlsc times _build/quick

# The first page prints the claims that are kept: they are kept before it is.
full: .venv/book
	@$(SNAKEMAKE) profile=full $(SETTINGS) -- _build/full/notebooks/figure_1a.ipynb _build/full/notebooks/figure_1b.ipynb
	@mkdir -p results/claims && cp _build/full/claims/1?.json results/claims
	@$(SNAKEMAKE) profile=full $(SETTINGS)
	@cp _build/full/figures/dictionaries.png results/figures
	@$(BIN)/wlsc times _build/full
	@$(BIN)/wlsc costs _build/full --record results/costs.json

sweep: .venv/book
	@$(SNAKEMAKE) profile=quick $(SETTINGS) -- sweep

release: .venv/pdf
	@$(SNAKEMAKE) profile=full pdf=yes $(SETTINGS)
	@$(BIN)/wlsc release _build/full

links: book
	$(BIN)/jupyter-book build _build/quick/src --config _config.yml --path-output _build/links --builder linkcheck

test: .venv/test book lint
	WLSC_TALLY=_build/tests/test.json $(BIN)/pytest -n $(WORKERS) --dist loadfile

# The inner loop: what a change of the model breaks shows here first.
check: lint
	$(BIN)/pytest -q -n $(WORKERS) tests/inference tests/models tests/test_problem.py tests/test_simplex.py tests/test_dictionary.py \
		tests/test_estimator.py tests/test_architecture.py

# What kills, injects faults, breaks files and builds from nothing. Its report is kept however it ends, and that of the last `make test`
# with it.
stress: .venv/test
	WLSC_TALLY=_build/tests/stress.json $(BIN)/pytest tests/stress tests/faults tests/datasets tests/book/test_execution.py \
		tests/test_safety.py tests/experiments/test_distributed.py; \
		ended=$$?; mkdir -p results/tests && cp _build/tests/*.json results/tests && exit $$ended

# Is a finished `make full` what it was when it was accepted, and is its site whole?
# make accept PROFILE=full WHY="larger photographs"
verify: .venv/test
	@$(BIN)/wlsc verify _build/full
	WLSC_PROFILE=full $(BIN)/pytest -q tests/site

accept: .venv/book
	@$(BIN)/wlsc accept _build/$(PROFILE) --why "$(WHY)"

# By how much does another arithmetic move the numbers of quick? Allowances of `make accept` follow from it.
processors: .venv/book
	@$(BIN)/wlsc processors

report: .venv/book
	@$(BIN)/wlsc report

# Known vulnerabilities of the pinned packages. Both pip-audit and its list come from the network.
AUDIT := _build/audit/bin
audit:
	@test -x $(AUDIT)/pip-audit || { $(PYTHON) -m venv _build/audit && $(AUDIT)/pip install -q pip-audit; } || \
		{ echo "make audit: pip-audit could not be installed: it needs the network"; exit 1; }
	@$(AUDIT)/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip || \
		{ echo "make audit: a package is known to be vulnerable, or could not be looked up, which needs the network"; exit 1; }

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

serve: book
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/quick/html

bench: .venv/bench _build/peers/installed
	for script in benchmarks/[!_]*.py; do $(BIN)/python $$script || exit 1; done

# Other packages' solvers on the same problem. They have an environment of their own, which does not hold this project.
peers: .venv/bench _build/peers/installed
	$(BIN)/python benchmarks/peers.py

_build/peers/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv _build/peers
	_build/peers/bin/pip install -q -c constraints.txt $$($(PYTHON) -c "import tomllib; \
		print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['peers'])")
	touch $@

# The exact versions of everything, from an environment made for it. torch stays where it is pinned, since the newest
# one need not have a build for this machine's accelerator; triton and nvidia-* come with that build.
lock:
	rm -rf _build/lock && mkdir -p _build && grep '^torch==' constraints.txt > _build/torch.txt
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/pip install -q -c _build/torch.txt -e '.[book,slurm,test,bench,peers]'
	_build/lock/bin/pip freeze --exclude-editable --all | grep -Ev '^(pip|triton|nvidia-|cuda-)' | sed 's/+.*//' > constraints.txt

clean:
	rm -rf _build .snakemake

# One stamp per set of extras: `.venv/test` is there when `.[book,slurm,nwb,test]` is installed.
.venv/book: EXTRAS = book
.venv/test: EXTRAS = book,slurm,nwb,test
.venv/bench: EXTRAS = bench
.venv/pdf: EXTRAS = book,pdf
.venv/%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@
