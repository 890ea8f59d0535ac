# SPDX-License-Identifier: Apache-2.0
# Every target is one script, so that what CI runs and what you run are the same thing.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test sanitize bench soak lint format catalogue clean

# Extra arguments for the program or the test run: `make run ARGS="--port 4242"`, `make soak ARGS="-k kill"`.
ARGS ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, build release, serve on http://127.0.0.1:4141
	@scripts/run.sh $(ARGS)

test: ## install what the tests need, build, run every suite; ends with "N passed, N failed"
	@scripts/test.sh $(ARGS)

sanitize: ## the engine's and the stores' tests under Thread and Address Sanitizer
	@scripts/sanitize.sh $(ARGS)

bench: ## the speed claims, each beside its baseline
	@scripts/bench.sh $(ARGS)

soak: ## torture, fairness, 10,000 damaged files and the long tests (about an hour)
	@scripts/soak.sh $(ARGS)

lint: ## formatting, licence headers, Python, shell scripts, the failure catalogue
	@scripts/lint.sh

format: ## rewrite Swift and Python sources in the project's format
	@scripts/format.sh

catalogue: ## the failures Holdfast is built against, each with its tests
	@python3 scripts/catalogue.py

clean: ## remove builds, the virtual environment and test artefacts
	rm -rf .build .build-* Benchmarks/.build .venv artefacts
