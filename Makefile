# Wugan. `make help` lists what there is.
# Distributions compile their interpreter with profile-guided optimisation; pyenv, by default, does not (ADR 48).
PYTHON ?= $(shell for each in /usr/bin/python3.11 python3.11; do \
  "$$each" -c 'import ensurepip, sqlite3, ssl, venv' 2>/dev/null && echo "$$each" && break; done || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
B ?=
SOAK ?=
FUZZ ?=
PYTEST_ARGS ?=
BREAKING ?=
PROTOS := $(wildcard proto/wugan/*/v1/*.proto)
PACKAGES := gateway adapters certs
LINTED := $(PACKAGES) tests bench examples

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak fuzz lint fmt proto proto-check proto-baseline bench docs lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything pinned in requirements.lock

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## three provinces, a handful of questions, the answers as a person reads them
	$(BIN)/wugan demo show

test: $(STAMP) ## all tests, three at a time: many wait for what they started
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

soak: $(STAMP) ## two gateways under kill -9, 1,000 times; shorter with SOAK="--kills 50 --questions 5000"; power cuts with SOAK=--power
	$(BIN)/python -m tests.soak $(SOAK)

fuzz: $(STAMP) ## a million malformed manifests, files and answers; shorter with FUZZ="--inputs 10000"
	$(BIN)/python -m tests.fuzz $(FUZZ)

lint: $(STAMP) proto-check ## ruff, mypy strict, import directions, contract
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fmt: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff check --fix $(LINTED)
	$(BIN)/ruff format $(LINTED)

proto: $(STAMP) ## generate the stubs beside the .proto files, and their image; refuses what breaks the contract
	$(if $(BREAKING),,$(BIN)/python tests/proto_fresh.py --breaking)
	$(BIN)/buf build --exclude-source-info -o proto/released.binpb
	$(if $(BREAKING),cp proto/released.binpb proto/baseline.binpb)
	$(BIN)/python -m grpc_tools.protoc -Iproto --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --python_out=proto --grpc_python_out=proto \
	  --mypy_out=quiet:proto --mypy_grpc_out=quiet:proto $(PROTOS)
	@find proto -name '*_pb2_grpc.py*' -print0 | xargs -0 grep -L -E 'class [A-Za-z]+Stub' | xargs -r rm -f

proto-check: $(STAMP) ## stubs fresh, contract linted, nothing of it broken
	$(BIN)/python tests/proto_fresh.py
	$(BIN)/buf lint

proto-baseline: proto-check ## at a release: what is in the contract now is promised from now on
	cp proto/released.binpb proto/baseline.binpb

bench: $(STAMP) ## measure: all, or one with B=name
	$(BIN)/python -m bench $(B)

docs: $(STAMP) ## check that the commands and links in the documents are true
	$(BIN)/python -m pytest -q tests/unit/test_docs.py

lock: $(STAMP) ## renew requirements.lock from pyproject.toml (asks the registry)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header pyproject.toml --group dev --all-extras -o requirements.lock

clean: ## remove everything that was made here
	rm -rf $(VENV) build dist demo-state .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
