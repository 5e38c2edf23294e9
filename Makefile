# One-liners over the scripts; the scripts are the truth. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup test lint docs demo chaos simulation image

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
setup: ## make this checkout runnable
	deploy/setup.sh --test
test: ## linters, types, every test: what CI runs
	deploy/test.sh
lint: setup ## linters and types
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports
docs: setup ## the tests of docs, alerts, dashboard, images and manifests
	.venv/bin/python -m pytest -q tests/docs
demo: ## two datacenters on this machine; DEMO="--keep"
	deploy/demo.sh $(DEMO)
chaos: ## the fault matrix on real processes: about 50 minutes; CHAOS="--loads hot"
	deploy/chaos.sh $(CHAOS)
simulation: setup ## the whole pipeline on a virtual clock, 1,000 seeds
	.venv/bin/python -m tests.simulation --seeds 0:1000
image: ## the image for all roles
	docker build -f deploy/docker/Dockerfile -t stampline .
