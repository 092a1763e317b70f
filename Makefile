# dropscore: `make` lists what there is to make.
PYTHON ?= python3
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENVS := .venv .venv-ministack .venv-lambda .venv-sam .venv-models
STAMPS := $(VENVS:=/.installed)
define venv
$(1)/.installed: requirements/$(2).txt | python
	@echo "installing $(1) …"
	@$(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $$<
	@touch $$@
endef
$(eval $(call venv,.venv,dev))
$(eval $(call venv,.venv-ministack,ministack))
$(eval $(call venv,.venv-lambda,lambda))
$(eval $(call venv,.venv-sam,sam))
$(eval $(call venv,.venv-models,models))

.PHONY: python setup
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "dropscore needs Python 3.11 or newer; $(PYTHON) is not. Try: make PYTHON=python3.12 …" >&2; exit 1; }
setup:
	@$(MAKE) -j $(STAMPS)
