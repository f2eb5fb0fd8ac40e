# The entry points of a person. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down demo check test test-slow test-foreign conformance bench

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## build, start Muster in the background, take in this machine, run the sample application
	@dist/up

demo: ## stop this machine's container runtime dead, and watch it being found and healed
	@dist/demo

down: ## end Muster and everything that it made; PURGE=1 also deletes the data directory
	@dist/down $(if $(PURGE),--purge)

check: ## tidy, format, lints, tests: what a commit must pass
	cargo xtask check

test: ## every test, real containers included where the machine allows
	tests/run

test-slow: ## the tests that take minutes: emulated management controllers, the whole crash matrix, a whole machine in QEMU
	tests/run --workspace -- --ignored bmc::matrix bmc::silence bmc::redfish::a10_through bmc::redfish::sensors soak qemu kernel_log
	tests/run --release --package muster-rehearsal --test rehearsal -- --ignored

test-foreign: ## the story of the demo on the real Kubernetes, built from its Go modules
	tests/upstream/build
	tests/run --workspace -- --ignored foreign

conformance: ## Kubernetes' own conformance specs; KUBECONFIG=F for another cluster, LIST_ONLY=1 for the list alone
	tests/conformance/run $(if $(LIST_ONLY),--list-only,$(if $(KUBECONFIG),,--keep)) $(if $(BUDGET_S),--budget $(BUDGET_S))

bench: ## the benchmark lines of docs/benchmarks.md
	tests/bench
