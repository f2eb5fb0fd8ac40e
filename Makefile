# The entry points of a person. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down demo check test

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: ## format, lints, tests, tidy: what a commit must pass
	cargo xtask check

test: ## every test, real containers included where the machine allows
	tests/run
