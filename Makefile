# Everything one does with SmartFin from a checkout. A bare `make` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
# What npm has fetched before it need not ask about again.
NPM_CI := ci --prefer-offline --no-audit --no-fund
# A process for each core; the tests of one file share servers, so they stay together.
PARALLEL := -n logical --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install run test check audits deploy-check stack pages docs long bench format lock web clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## set up .venv with the locked dependencies; .venv/bin/smartfin works after it

run: .venv/.installed ## set up, then serve on http://127.0.0.1:8000
	@$(BIN)/smartfin serve

test: .venv/.installed-dev ## set up, then pass every test
	@$(BIN)/python -m pytest $(PARALLEL)

check: .venv/.installed-dev ## lint, types, SDL in step, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/smartfin schema --check
	$(BIN)/python -m pytest $(PARALLEL)

audits: .venv/.installed-dev ## pass the audits of npm graphql-http, clients of npm and promtool (needs both)
	npm --prefix tests/gateway/audits $(NPM_CI)
	npm --prefix tests/clients $(NPM_CI)
	npm --prefix examples $(NPM_CI)
	$(BIN)/python -m pytest -m node tests/gateway tests/clients
	$(BIN)/python -m pytest -m tools tests/monitoring

pages: .venv/.installed web ## prove that web/dist is what the source gives, and use the pages in Chromium (needs Node)
	@test -z "$$(git status --porcelain web/dist | tee -a /dev/stderr)" || { echo "web/dist is not what its source gives: commit what make web makes"; exit 1; }
	npm --prefix tests/web $(NPM_CI)
	npm --prefix tests/web test

docs: .venv/.installed-docs ## build the documentation in build/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@! grep -rnoE '<(script|link|img|iframe)[^>]*(src|href)="?https?:[^ >]*' build/docs --include='*.html' \
	 || { echo "the documentation takes these from other hosts"; exit 1; }

deploy-check: .venv/.installed-dev ## hold deploy/ against nginx, promtool, amtool
	@for tool in nginx prometheus promtool amtool openssl; do command -v $$tool > /dev/null \
	 || { echo "make deploy-check needs $$tool: apt-get install nginx-light prometheus prometheus-alertmanager openssl"; exit 1; }; done
	$(BIN)/python -m pytest -m 'tools or not tools' tests/deploy

stack: .venv/.installed-dev ## run the processes of compose.yaml without containers (needs nginx, prometheus, openssl)
	@$(BIN)/python -m tests.deploy.stack

long: .venv/.installed-dev ## pass the long forms of tests
	$(BIN)/python -m pytest -m long

bench: .venv/.installed-dev ## measure ours beside its peers, and print tables
	@$(BIN)/python -m bench.http
	@$(BIN)/python -m bench.history
	@$(BIN)/python -m bench.live
	@$(BIN)/python -m bench.live_memory
	@$(BIN)/python -m bench.live_load
	@$(BIN)/python -m bench.outage
	@$(BIN)/python -m bench.alerts

format: .venv/.installed-dev ## format and mend what can be mended, write anew what is made of the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/smartfin schema --write
	$(BIN)/python -m tests.test_docs
	$(BIN)/python -m tests.indicators.test_docs

lock: $(BIN)/uv ## resolve the dependencies anew into the lock files
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade --group docs -c requirements-dev.lock -o requirements-docs.lock

web: ## build the pages in web/dist anew (needs Node)
	npm --prefix web/dashboard $(NPM_CI)
	npm --prefix web/dashboard run build
	npm --prefix web/graphiql $(NPM_CI)
	npm --prefix web/graphiql run build

clean: ## remove what the set-up and the tools made; data stays
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Where Debian leaves ensurepip out, the pip of the system puts uv into the environment.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SmartFin needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv 2>/dev/null || $(PYTHON) -m venv --without-pip .venv
	@if [ -x $(BIN)/pip ]; then $(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION); \
	 else $(PYTHON) -m pip -q --disable-pip-version-check --python $(BIN)/python install uv==$(UV_VERSION); fi

.venv/.installed: requirements.lock pyproject.toml | $(BIN)/uv
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

.venv/.installed-docs: requirements-docs.lock .venv/.installed
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-docs.lock
	@touch $@
