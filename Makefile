# Every target works in an empty clone: the first thing each does is make its own virtual environment.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
ORDERS ?= 300
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)# tests wait for processes half the time
# what is compiled is kept, also where PYTHONDONTWRITEBYTECODE is set: else each process compiles it again
export PYTHONDONTWRITEBYTECODE =
PROTOS  = $(shell find protos -name '*.proto' | sort)

.PHONY: demo up test test-long lint format proto generated contract-break baseline proto-check bench clean help

help:            ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | sort

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,demo,dev]'
	@touch $@

demo: $(VENV)/.installed   ## real baskets through the real services, then a proof (ORDERS=300)
	$(BIN)/orderstream demo --orders $(ORDERS)

up: $(VENV)/.installed     ## the complete stack in this terminal, until Ctrl-C
	$(BIN)/orderstream up

test: $(VENV)/.installed   ## everything that fits in a few minutes (WORKERS: one more than there are cores, at most 4)
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal --durations=25

test-long: $(VENV)/.installed   ## the long forms of the reliability tests
	$(BIN)/python -m pytest -m long

lint: $(VENV)/.installed   ## ruff, mypy --strict, import-linter, buf, the checks of words and of structure, and that the stubs are current
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/buf lint && $(BIN)/buf breaking --against protos/baseline.binpb
	@$(BIN)/python -m tools.words
	@$(BIN)/python -m tools.structure
	@$(MAKE) --no-print-directory proto-check
	@$(BIN)/buf build --exclude-source-info -o $(VENV)/main.binpb && cmp $(VENV)/main.binpb protos/main.binpb || { echo 'protos/main.binpb is not current: run `make proto`'; exit 1; }

format: $(VENV)/.installed
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

PROTOC = $(BIN)/python -m grpc_tools.protoc -I. --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc

CATALOGUE = $(BIN)/python -m grpc_tools.protoc -I. --include_source_info --descriptor_set_out=/dev/stdout $(PROTOS) | $(BIN)/python -m tools.event_catalogue
CURRENCIES = $(BIN)/python -m tools.currencies
LIMITS = $(BIN)/python -m tools.limits
ACCESS = $(BIN)/python -m tools.access
SDK = $(BIN)/python -m tools.stubgen | $(BIN)/ruff format --stdin-filename contexts.pyi -

proto: $(VENV)/.installed  ## check that no caller breaks, then generate all that is made of the contract
	$(BIN)/buf breaking --against protos/main.binpb || { echo 'the contract breaks its callers; if that is wanted: `make contract-break`'; exit 1; }
	@$(MAKE) --no-print-directory generated
	$(BIN)/buf build --exclude-source-info -o protos/main.binpb

contract-break: $(VENV)/.installed   ## take over a change that breaks callers, once CHANGELOG.md names it under **Breaking**
	@git diff HEAD --unified=0 -- CHANGELOG.md | grep -q '^+.*\*\*Breaking\*\*' || { echo 'write a line with **Breaking** into CHANGELOG.md first'; exit 1; }
	@$(MAKE) --no-print-directory generated
	$(BIN)/buf build --exclude-source-info -o protos/main.binpb

generated: $(VENV)/.installed
	$(PROTOC) --python_out=. --mypy_out=quiet:. --grpc_python_out=. --mypy_grpc_out=quiet:. $(PROTOS)
	$(SDK) > $(VENV)/contexts.pyi && mv $(VENV)/contexts.pyi client/sdk/contexts.pyi
	$(CATALOGUE) > docs/events.md
	$(LIMITS) > $(VENV)/limits.md && mv $(VENV)/limits.md docs/limits.md
	$(ACCESS) > $(VENV)/access.md && mv $(VENV)/access.md docs/access.md
	$(CURRENCIES) > $(VENV)/currencies.py && mv $(VENV)/currencies.py client/currencies.py

baseline: $(VENV)/.installed   ## at a release: the contract as it is now is what later ones may not break
	$(BIN)/buf build --exclude-source-info -o protos/baseline.binpb

proto-check: $(VENV)/.installed
	@rm -rf $(VENV)/proto && mkdir -p $(VENV)/proto
	@$(PROTOC) --python_out=$(VENV)/proto --mypy_out=quiet:$(VENV)/proto --grpc_python_out=$(VENV)/proto --mypy_grpc_out=quiet:$(VENV)/proto $(PROTOS)
	@cd $(VENV)/proto && find . -type f | while read -r f; do cmp "$$f" "../../$$f" || { echo 'stubs are not current: run `make proto`'; exit 1; }; done
	@$(CATALOGUE) | cmp - docs/events.md || { echo 'docs/events.md is not current: run `make proto`'; exit 1; }
	@$(LIMITS) | cmp - docs/limits.md || { echo 'docs/limits.md is not current: run `make proto`'; exit 1; }
	@$(ACCESS) | cmp - docs/access.md || { echo 'docs/access.md is not current: run `make proto`'; exit 1; }
	@$(CURRENCIES) | cmp - client/currencies.py || { echo 'client/currencies.py is not current: run `make proto`'; exit 1; }
	@$(SDK) | cmp - client/sdk/contexts.pyi || { echo 'client/sdk/contexts.pyi is not current: run `make proto`'; exit 1; }

bench: $(VENV)/.installed  ## the speed goals, both sides of each in one run (BENCH=--quick: within three minutes)
	$(BIN)/python -m bench $(BENCH)

clean:
	rm -rf $(VENV) .orderstream
