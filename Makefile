# `make demo` and `make test` do all the set-up on a Debian machine that has Python 3.11 or newer; both can be run again
# at any time. Variables: PYTHON (interpreter), TORCH (what to give pip for PyTorch), WORKERS (processes of the tests),
# PYTEST_ARGS, DEMO_ARGS.

PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$python && exit; done; \
	echo python3)
TORCH ?= torch==2.13.0
WORKERS ?= $(shell cores=$$(env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2); echo $$((cores < 4 ? cores : 4)))
PYTEST_ARGS ?=
DEMO_ARGS ?=

BIN := .venv/bin
# Networks of the tests are small: a thread for each process, and a process for each core. Files stay together, for what
# their tests share is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
# Set-up is due again when the dependencies, the version of PyTorch or the place of the checkout change.
KEY := $(shell { cat pyproject.toml; echo "$(CURDIR) $(TORCH)"; } | cksum | cut -d' ' -f1)
STAMP := .venv/.installed-$(KEY)

.DELETE_ON_ERROR:
.PHONY: help setup demo test quick lint types format results clean

help:
	@echo "make demo    set up, then walk through a learned world: writes demo/rollout.mp4 and demo/sheet.png"
	@echo "make test    set up, then run all tests"
	@echo "make quick   the tests without the slow ones"
	@echo "make lint types format    ruff check and format check; mypy; ruff format"
	@echo "make results measure all mutants on 50 maps, fidelity's excepted, then the shipped model, and publish both in"
	@echo "             benchmarks/results (hours beside other work; it goes on where it was interrupted)"
	@echo "make clean   remove .venv, demo/ and caches"

setup: $(STAMP)

$(STAMP):
	@echo "worldsim: setting up .venv in $(CURDIR)"
	@echo "  needs about 2.5 GB of disk with the CPU build of PyTorch (8 GB where pip takes the CUDA build) and"
	@echo "  2 to 10 minutes, mostly downloads; an interrupted set-up continues when it is run again"
	@df -Pk . | awk 'NR == 2 && $$4 < 3000000 { \
		printf "worldsim: only %d MB are free on this disk\n", $$4 / 1024; exit 1 }' >&2
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
		echo "worldsim: no Python found; install it with: apt-get install python3 python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "worldsim: $$("$(PYTHON)" --version) is too old, 3.11 or newer is needed;" \
		"install it with: apt-get install python3 python3-venv (Debian 12), or name one: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "worldsim: Python's venv module is missing; install it with: apt-get install python3-venv" >&2; exit 1; }
	@# A .venv that was moved with its checkout, or is broken, is made anew.
	@grep -qF "$(CURDIR)/.venv" .venv/bin/activate 2>/dev/null && $(BIN)/python -c 'import pip' 2>/dev/null || \
		"$(PYTHON)" -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[all]"
	@rm -f .venv/.installed-*
	@touch $@
	@du -sh .venv | awk '{ print "worldsim: set up; .venv holds " $$1 }'

demo: $(STAMP)
	$(BIN)/worldsim demo --out demo $(DEMO_ARGS)

test: $(STAMP)
	$(PYTEST) $(PYTEST_ARGS)

quick: $(STAMP)
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# N is quick, default or publish; runs that are finished in RUNS are not run again.
RUNS ?= runs/results
N ?= quick
BENCH := $(BIN)/worldsim bench
# Whatever N says: true worlds cost little. Of the suite text there are none, since a true world takes no text.
MUTANTS := $(BENCH) selfcheck --n default --samples 1
# What a quick run leaves out is named: of a curve in the same run, else in one that is published beside it.
ROOMS := next_room_and_back door_and_back four_rooms_round
DOSES := stroke_length push_speed hit_distance fall_rate momentum
MEMORY := $(if $(filter quick,$(N)),--tasks still_1 still_2 still_4 still_8 still_16 still_32 still_64 still_128 \
	walk_8 walk_16 walk_32 walk_64 circle_27 circle_108 tour_64)

results: $(STAMP)
	for suite in consistency permanence memory interaction surprise; do \
		$(MUTANTS) --suite $$suite --out $(RUNS)/mutants-50/$$suite || exit 1; done
	for suite in consistency permanence; do \
		$(MUTANTS) --suite $$suite --world Scene --out $(RUNS)/mutants-50/$$suite-scene || exit 1; done
	$(MUTANTS) --suite permanence --world Table --out $(RUNS)/mutants-50/permanence-table
	$(MUTANTS) --suite interaction --world Table --out $(RUNS)/mutants-50/interaction-table
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite consistency permanence interaction surprise text fidelity speed
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite consistency --world Scene
	$(if $(filter quick,$(N)),$(BENCH) run --n $(N) --out $(RUNS)/more --suite consistency --tasks $(ROOMS))
	for world in Scene Table; do $(BENCH) run --n $(N) --out $(RUNS)/model --suite permanence --world $$world || exit 1; done
	for world in Table Crafter Blocks; do \
		$(BENCH) run --n $(N) --out $(RUNS)/model --suite interaction --world $$world || exit 1; done
	$(if $(filter quick,$(N)),$(BENCH) run --n $(N) --out $(RUNS)/more --suite interaction --world Table --tasks $(DOSES))
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite text --world Table --tasks wall floor thing bind_surfaces bind_things \
		event_switch event_shatter event_bite
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite text --world Scene --tasks wall floor thing bind_surfaces bind_things
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite text --world DoomMyWayHome --tasks wall
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite text --world DoomHealthGathering --tasks event_hurt_by_acid event_healed
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite text --world DoomTakeCover --tasks event_hurt
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite text --world DoomBasic --tasks event_shoot
	$(BENCH) run --n $(N) --out $(RUNS)/model --suite memory $(MEMORY) --beside 'window={"model": "?memory=window"}' \
		'panorama={"model": "?memory=panorama"}'
	$(BENCH) publish $(RUNS)/model $(if $(filter quick,$(N)),$(RUNS)/more) $(RUNS)/mutants-50 --out benchmarks/results

clean:
	rm -rf .venv demo build dist .pytest_cache .mypy_cache .ruff_cache
