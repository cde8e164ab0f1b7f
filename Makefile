# Developers' shortcuts. Everything runs in .venv, which run.py makes; nothing else is used.
PY := .venv/bin/python
BIN := .venv/bin
export OMP_NUM_THREADS := 1
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: job-chaos withdraw-race help run demo core test check format lock bench bench-log bench-watermark bench-watermark-null bench-token bench-gate bench-trainer bench-faces bench-curation bench-difference bench-image-mark chaos hammer log-chaos mutants \
        conformance interop fuzz e2e messages db

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  %-18s %s\n", $$1, $$2}'

run: ## the whole site on this computer, until Ctrl-C
	@python3 run.py --no-demo

demo: ## the whole site and the demonstration, then stop
	@python3 run.py --check

core: ## the pure tests only: no database, no Django (seconds)
	@$(PY) -m pytest -p no:django -o addopts="--strict-markers --strict-config" tests/core -q

test: ## all tests
	@python3 run.py test

check: ## lint, format, types, floors
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports

format: ## let ruff put everything in form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

db: ## the database alone, until Ctrl-C
	@KYODAKU_MODE=test $(PY) -m registry.local db

bench: bench-log bench-watermark bench-watermark-null bench-watermark-trained bench-token bench-gate bench-trainer bench-faces bench-curation bench-difference bench-image-mark ## every bench

bench-log: ## the log's speed beside a peer's (QUICK=1: under a minute)
	@$(PY) -m tests.bench.bench_log

bench-watermark: ## how well the watermark is read back (QUICK=1: three minutes)
	@$(PY) -m tests.bench.bench_watermark

bench-watermark-null: ## what the watermark says of the innocent: 10^8 evaluations (QUICK=1: 10^6)
	@$(PY) -m tests.bench.bench_watermark_null

bench-watermark-trained: ## what the mark costs a LoRA really trained, and what it survives (QUICK=1: two minutes)
	@$(PY) -m tests.bench.bench_watermark_trained

bench-token: ## how fast a worker checks a consent token (QUICK=1: under a minute)
	@$(PY) -m tests.bench.bench_token

bench-gate: ## what the gate costs a run, at its start and while it trains (QUICK=1: under a minute)
	@$(PY) -m tests.bench.bench_gate

bench-trainer: ## what a LoRA on the tiny base changes, and for whom (QUICK=1 for daily use)
	@$(PY) -m tests.bench.bench_trainer

bench-curation: ## is what was planted in a set found? (QUICK=1: two minutes)
	@$(PY) -m tests.bench.bench_curation

bench-difference: ## what was merged into a 2 GB checkpoint: is it found, at what cost
	@$(PY) -m tests.bench.bench_difference

bench-image-mark: ## the mark in sample pictures beside a peer (QUICK=1)
	@$(PY) -m tests.bench.bench_image_mark

bench-faces: ## who is in a picture, and at what cost (QUICK=1: under a minute)
	@$(PY) -m tests.bench.bench_faces

chaos: log-chaos hammer job-chaos withdraw-race ## everything that kills, hammers and withdraws

job-chaos: ## 180 faults around training jobs, on three brokers (QUICK=1: two minutes, one broker)
	@$(PY) -m tests.chaos.jobs

withdraw-race: ## 50 withdrawals at any moment of a run of the real trainer (QUICK=1: 5)
	@$(PY) -m tests.chaos.withdraw_race

hammer: ## ten minutes of writers and of readers who check every proof (QUICK=1: 20 seconds)
	@$(PY) -m tests.chaos.hammer_log

log-chaos: ## 200 kills of the sequencer, 24 of PostgreSQL, and what is left (QUICK=1: a tenth)
	@$(PY) -m tests.chaos.kill_log

mutants: ## take each guarding check out and see a test fail (minutes)
	@$(PY) -m tests.mutants

conformance: ## the public test vectors of every format we speak
	@$(PY) -m tests.conformance

interop: ## an outside Go client reads an exported log (needs Go and golang.org/x/mod)
	@$(PY) -m tests.interop

fuzz: ## every parser under atheris, SECONDS_EACH=600 of CPU each (QUICK=1: seconds)
	@$(PY) -m tests.fuzz

e2e: ## the tests in a real browser
	@$(PY) -m pytest -m browser tests

messages: ## compile the translations (.po to .mo) without gettext
	@$(PY) -m registry.local.messages

# torch is installed apart (run.py), so its needs are named here; insightface's opencv-python would
# put a second, windowed cv2 over the headless one.
LOCK_FLAGS := --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
              --no-annotate --no-header --overrides .venv/overrides.txt -q

lock: ## pin packages in requirements*.lock (UPGRADE=--upgrade for newer ones)
	@printf 'torch; python_version < "0"\nopencv-python; python_version < "0"\n' > .venv/overrides.txt
	@printf '%s\n' pip uv 'setuptools>=77.0.3' filelock 'sympy>=1.13.3' 'networkx>=2.5.1' jinja2 \
	    'fsspec>=0.8.5' 'typing-extensions>=4.10' > .venv/apart.txt
	@$(BIN)/uv pip compile pyproject.toml .venv/apart.txt --extra ml $(LOCK_FLAGS) $(UPGRADE) -o requirements.lock
	@$(BIN)/uv pip compile --group pyproject.toml:dev -c requirements.lock $(LOCK_FLAGS) $(UPGRADE) -o requirements-dev.lock
