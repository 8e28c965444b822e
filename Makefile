# The commands a person would type, and the environment they need. `make` alone lists them.

ifneq ($(findstring :,$(CURDIR)),)
$(error $(CURDIR) has a colon in its path, which ends a folder's name in PATH: move the clone to another folder)
endif
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# What make runs keeps what Python compiles; where nothing is to be kept, `make install` alone compiles all before.
unexport PYTHONDONTWRITEBYTECODE
install: export KEEPS_NOTHING := $(PYTHONDONTWRITEBYTECODE)

.PHONY: help
help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 14

.PHONY: repro
repro: .venv/installed ## run the pipeline: dvc repro (on scikit-learn's digits where no MNIST can be had)
	@sh make/repro.sh

.PHONY: install
install: .venv/installed ## install what is pinned in requirements.txt, into .venv

.PHONY: experiments
experiments: .venv/installed ## show the experiments side by side: what differs between them, and what came out
	COLUMNS=120 dvc exp show --no-pager --only-changed --keep '^(Experiment|val_accuracy|accuracy|errors)$$' --drop \
		'^(Created|State|.*/.*|requirements.txt|[a-z]+_[a-z_0-9]+|dataset|train|validation|test|parameters|leakage)$$'

.PHONY: draw
draw: .venv/installed-draw ## open a page to draw on, which reads as you draw and keeps what you drew
	python -m commands.draw

.PHONY: picture
picture: .venv/installed ## draw the README's picture of the plots' page (needs Chromium)
	dvc plots show --out .page-picture
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1280,1200 --virtual-time-budget=8000 \
		--screenshot=docs/plots-page.png .page-picture/index.html
	rm -r .page-picture

.PHONY: test
test: .venv/installed-dev ## run the tests, all but the slowest
	pytest

.PHONY: test-all
test-all: .venv/installed-dev ## run those, too: second runs of the pipeline, browsers, installations
	pytest --all

.PHONY: lint
lint: .venv/installed-dev ## check style, types, the workflow and the shell
	ruff check
	ruff format --check
	mypy
	actionlint
	shellcheck --exclude=SC2016 .ci/run make/*.sh

.PHONY: bench
bench: .venv/installed ## time the training against plain Keras, 40 minutes (QUICK=1: under 3)
	dvc repro prepare
	python -m benchmarks.speed $(if $(QUICK),--quick)
	$(if $(QUICK),,python -m benchmarks.growth && python -m benchmarks.tables)

.PHONY: torture
torture: .venv/installed-dev .venv/installed-draw .venv/installed-sweep .venv/installed-export .venv/installed-remotes ## what takes hours: type the docs, kill, starve and race the pipeline, feed it garbage, show it other processors
	pytest -m torture --ignore=tests/test_fit.py --ignore=tests/test_processors.py; first=$$?; \
	pytest --hypothesis-profile=torture --hypothesis-show-statistics \
		tests/test_bad_bytes.py tests/test_fit.py tests/test_processors.py tests/torture/kills.py tests/torture/disks.py tests/torture/races.py \
		tests/torture/drawing.py tests/torture/sweep_cluster.py tests/torture/sweep_remotes.py tests/torture/pairs.py && \
	exit $$first

.PHONY: sweep-installed
sweep-installed: .venv/installed-sweep ## install what searches need beside: Ray and Optuna (docs/sweeps.md)

.PHONY: export-installed
export-installed: .venv/installed-export ## install what exports need beside: ONNX's and LiteRT's runtimes (docs/export.md)

.PHONY: lock
lock: .venv/installed-dev ## pin anew what requirements*.in need in turn
	for name in requirements requirements-draw requirements-dev requirements-uv requirements-sweep \
		requirements-export requirements-remotes; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-header --no-emit-find-links --no-emit-index-url $$name.in -o $$name.txt || exit; done

.venv/installed: requirements.txt .venv/bin/python
	@sh make/install.sh requirements.txt && touch $@

# Beside what is there; the packages that all share have one version.
.venv/installed-%: requirements-%.txt .venv/installed
	@sh make/install.sh $< && touch .venv/installed $@

# Without one, and where it was replaced after the installation, the installation looks at it anew.
.venv/bin/python: ;
