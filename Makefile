# Needs GNU make, and Python 3.11 or newer as `python3` or as `make PYTHON=…`. Everything is kept in this folder.
PYTHON ?= python3
BIN := .venv/bin
MAKEFLAGS += --no-builtin-rules --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

## Environments: one for each program that pins its own dependencies. A stamp in each says that it is complete.
ENVIRONMENTS := .venv .venv-ministack .venv-lambda .venv-sam .venv-models

.PHONY: setup python
setup: ## install everything that the other targets need (they do so themselves)
	@$(MAKE) --silent --jobs=$(words $(ENVIRONMENTS)) $(ENVIRONMENTS:=/.installed)

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "dropscore needs Python 3.11 or newer; $(PYTHON) is not. Name another: make PYTHON=python3.13" >&2; exit 1; }

# $(1): the environment, $(2): its list in requirements/. The lists are complete, so pip has nothing to resolve.
define environment
$(1)/.installed: requirements/$(2).txt | python
	echo "installing $(1) …"
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $$<
	$(3)
	touch $$@
endef
# With the command, as it stands in this folder.
$(eval $(call environment,.venv,dev,.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .))
$(eval $(call environment,.venv-ministack,ministack))
$(eval $(call environment,.venv-lambda,lambda))
$(eval $(call environment,.venv-sam,sam))
$(eval $(call environment,.venv-models,models))
$(eval $(call environment,.venv-bench,bench))
$(eval $(call environment,.venv-lint,lint))

# Only for `make test-servers`.
SERVERS := mlflow sagemaker python mlserver kserve
$(foreach servers,$(SERVERS),$(eval $(call environment,.venv-servers-$(servers),servers-$(servers))))

## The embedded stack
# On a cluster of yours: make demo KUBECONFIG=~/.kube/config CONTEXT=kind-kind [REGISTRY=localhost:5001] [ROUTE=gateway] [URL=…].
# Only what is said to make itself counts: many a shell has a KUBECONFIG with a cluster on which nobody wants this.
YOURS := $(foreach name,KUBECONFIG CONTEXT REGISTRY ROUTE URL IMAGE,\
  $(if $(findstring command,$(origin $(name))),DROPSCORE_$(name)='$($(name))'))

.PHONY: demo up down
demo: setup ## score the samples, or your own: make demo [MODEL=folder] [FILE=x.csv TAGS='model_image=…&protocol=…'] [OUT=out] [CONTEXT=…]
	@$(YOURS) $(BIN)/python -m local.demo $(if $(MODEL),--model '$(MODEL)') $(if $(FILE),--file '$(FILE)') $(if $(TAGS),--tags '$(TAGS)') $(if $(OUT),--out '$(OUT)')

up: setup ## start the embedded stack and keep it, or bring it up to date [CONTEXT=…]
	@$(YOURS) $(BIN)/python -m local.stack up

down: ## end the embedded stack
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m local.stack down; fi

## Checks
# Where no bytecode may be kept (in many an image), each worker would compile all tests each time.
.PHONY: test test-models test-stacks test-faults storm profile-schema failures test-sam test-servers lint fmt
test: setup ## run the tests; needs neither AWS nor Docker (more below: example models, stacks of their own, faults)
	@$(YOURS) PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses 5 --dist worksteal

test-models: setup ## hold the example models to the contracts of their protocols
	@$(BIN)/pytest -m models --numprocesses 3 --dist loadfile tests/models

test-stacks: setup ## deploy while files run, a second stack in an account, and a stack on a cluster of yours
	@$(BIN)/pytest -m stacks --numprocesses 2 tests/e2e/stacks

test-faults: setup ## inject each fault of docs/failures.md and look what comes of it
	@$(YOURS) $(BIN)/pytest -m faults --numprocesses 3 tests/e2e/faults
	@$(if $(strip $(YOURS)),echo 'the storm kills what runs on this machine: it is for the embedded clusters (make storm)',$(MAKE) storm)

storm: setup ## drop 200 files at once, with a fault in every fourth (SEED=… to repeat one)
	@SEED=$(SEED) $(BIN)/pytest -m faults --capture=no tests/e2e/storm

profile-schema: ## write docs/profile.schema.json from the keys that a profile may have
	@PYTHONPATH=layers/scoring $(BIN)/python -c 'import json; from scoring.intake.schema import SCHEMA; print(json.dumps(SCHEMA, indent=2))' > docs/profile.schema.json

failures: setup ## write docs/failures.md from the cases of the fault suite
	@PYTHONPATH=layers/scoring $(BIN)/python -m tests.e2e.faults.document

test-sam: setup ## run the functions in `sam local` containers (needs Docker)
	@$(BIN)/pytest -m sam

test-servers: setup ## score files by real model servers from PyPI, as far as they can be installed
	@for servers in $(SERVERS); do $(MAKE) --silent .venv-servers-$$servers/.installed || \
	  echo "what needs .venv-servers-$$servers is skipped" >&2; done
	@$(BIN)/pytest -m servers --numprocesses 2 --dist loadfile tests/servers

TEMPLATES := template.yaml network.yaml
lint: setup .venv-lint/.installed ## check style, types and the templates
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --strict layers/scoring cli local bench
	@for function in functions/*/app.py; do $(BIN)/mypy --strict --no-error-summary $$function || exit 1; done
	@for template in $(TEMPLATES); do SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint --region us-east-1 --template-file $$template || exit 1; done
	@.venv-lint/bin/python -W 'ignore:pkg_resources' tests/lint/policies.py template.yaml
	@.venv-lint/bin/checkov --framework cloudformation --skip-download --quiet --compact --file $(TEMPLATES)

.PHONY: bench sweep crowd
bench: setup .venv-bench/.installed ## measure speed, memory and overhead against baselines: make bench [QUICK=1] [ONLY=memory]
	@PYTHONPATH=layers/scoring $(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)')

sweep: setup .venv-bench/.installed .venv-servers-mlflow/.installed .venv-servers-sagemaker/.installed ## what batch sizes do to real servers: make sweep [SERVER='mlflow, 1 worker'] [MIB=1000]
	@PYTHONPATH=layers/scoring $(BIN)/python -m bench.sweep $(if $(SERVER),--server '$(SERVER)') $(if $(MIB),--mib $(MIB))

crowd: setup ## simulate a million files a day and 100,000 at once (some minutes), and write docs/scale.md
	@PYTHONPATH=layers/scoring $(BIN)/python -m bench.crowd

fmt: setup ## format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

## Upkeep
.PHONY: pins clean
COMPILE := .venv-pins/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make pins' $(if $(UPGRADE),--upgrade)

pins: .venv-pins/bin/uv ## compile the lists of dependencies (UPGRADE=1: to the newest versions)
	@for list in requirements/*.in layers/*/requirements.in; do echo "$$list"; $(COMPILE) $$list -o $${list%.in}.txt; done
	@for model in models/*/; do echo "$${model}requirements.in"; \
	  $(COMPILE) --constraints requirements/models.txt $${model}requirements.in -o $${model}requirements.txt; done

.venv-pins/bin/uv: | python
	@$(PYTHON) -m venv .venv-pins
	@.venv-pins/bin/python -m pip install -qq --disable-pip-version-check uv

clean: down ## remove everything that make has made
	@rm -rf .venv .venv-* .local .aws-sam out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
