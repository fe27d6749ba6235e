# Few verbs, each one obvious. Everything lives in .venv; nothing is installed outside this folder.
PYTHON ?= python3
NPM ?= npm
BIN := .venv/bin
# Tests that start no gateway are dealt out to three processes one by one, those that do by their files, and to four
# processes, since they wait for some of their time.
ALONE := tests/house tests/unit tests/dialects tests/fidelity tests/perf tests/stores
TOGETHER := tests/acceptance tests/client

.DEFAULT_GOAL := help
.PHONY: help setup native run up test check audit fuzz lock fmt bench bench-growth bench-curves bench-workflows bench-picking bench-peers soak chaos dwa-bench fidelity test-clients docs docs-serve docs-pictures prometheus dashboards clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/developing native ## install everything that running, testing and checking need, and compile the DWA

native: .venv/developing ## compile the DWA for the sources as they are, if there is a C compiler (half a minute; nothing needs it)
	@$(BIN)/python hatch_build.py

run: .venv/running ## set up if needed, then serve on port 8000 (ARGS="--port 9000" adds options)
	@$(BIN)/steelyard serve $(ARGS)

up: ## bring the whole stack up with Docker: secrets at the first time, image, PostgreSQL, Redis, gateways, workers, Grafana
	@sh deploy/first-run.sh
	@docker compose up --build --detach --wait $(ARGS)

test: .venv/developing native ## set up if needed, then run every test (ARGS="-k name" chooses)
	@$(if $(ARGS),$(BIN)/pytest $(ARGS),$(BIN)/pytest -n 3 $(ALONE); alone=$$?; $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(TOGETHER) && exit $$alone)

check: .venv/developing ## lint, formatting, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(MAKE) --no-print-directory audit

audit: .venv/developing ## look up the pinned versions among known vulnerabilities, where PyPI can be reached
	@if $(BIN)/python -c 'import urllib.request as it; it.urlopen("https://pypi.org/pypi/pip/json", timeout=5)' 2>/dev/null; then \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group audit && \
		$(BIN)/pip-audit --progress-spinner off --disable-pip --no-deps --requirement constraints.txt; \
		else echo "Without PyPI: the dependencies were not audited."; fi

fuzz: .venv/developing ## schemathesis over every documented operation: no 5xx, no undocumented answer (minutes; ARGS="--max-examples 200")
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group fuzz
	@$(BIN)/python -m tests.fuzzing $(ARGS)

lock: .venv/created ## write requirements.lock and deploy/build.lock: what an installation has, and what its wheel is built with, by hash
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --constraint constraints.txt --report .lock.json '.[otel,plot]'
	@$(BIN)/python -m tests.locking .lock.json > requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --constraint constraints.txt --report .lock.json --group native
	@$(BIN)/python -m tests.locking .lock.json > deploy/build.lock; rm -f .lock.json

fmt: .venv/developing ## format and mend what can be mended
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: .venv/developing native ## measure the gateway with everything on, against its upstream alone
	@$(BIN)/python -m bench $(ARGS)

bench-growth: .venv/developing native ## measure the request log at 1,000 to 10 million rows (half an hour and 20 GB; ARGS="--sqlite --sizes 1000 1000000")
	@$(BIN)/python -m bench.growth $(ARGS)

bench-curves: .venv/developing native ## the same for 3 to 100 deployments, 10 to 100,000 keys, 0.2 to 400 kB prompts (some minutes)
	@$(BIN)/python -m bench.curves $(ARGS)

bench-workflows: .venv/developing native ## what the gateway adds to the steps of workflows, and what a thousand waiting executions cost (ten minutes)
	@$(BIN)/python -m bench.workflows $(ARGS)

bench-picking: .venv/developing native ## what one choice of the DWA costs among ten and a hundred, and one attempt's books (seconds)
	@$(BIN)/python -m bench.picking $(ARGS)

bench-peers: .venv/developing native ## the same load on LiteLLM, Portkey and a bare nginx proxy, in .bench-peers/ (needs npm for Portkey)
	@test -x .bench-peers/litellm/bin/litellm || { echo "Installing LiteLLM …"; \
		$(PYTHON) -m venv .bench-peers/litellm && \
		.bench-peers/litellm/bin/pip install --quiet --disable-pip-version-check 'litellm[proxy]'; } || true
	@test -d .bench-peers/portkey/node_modules/@portkey-ai/gateway || { echo "Installing Portkey …"; \
		npm install --silent --no-audit --no-fund --prefix .bench-peers/portkey @portkey-ai/gateway; } || true
	@$(BIN)/python -m bench.peers $(ARGS)

soak: .venv/developing native ## half an hour at half load with hang-ups and failures: does anything grow? (ARGS="--minutes 3")
	@$(BIN)/python -m bench.soak $(ARGS)

chaos: .venv/developing native ## make everything fail that the gateway depends on, under load, and write docs/reliability.md (ten minutes)
	@$(BIN)/python -m tests.chaos $(ARGS)

dwa-bench: .venv/developing native ## simulate the DWA against an oracle and its rivals, and write docs/dwa-results.md (an hour)
	@$(BIN)/steelyard dwa report --seeds 20 --out docs/dwa-results.md $(ARGS)

fidelity: .venv/developing ## run every cell of the fidelity score, and write docs/fidelity.md and the README's line
	@$(BIN)/python -m tests.fidelity

test-clients: .venv/developing .clients/current/.installed .clients/older/.installed ## install real clients beside, and test with them what their users do (npm's unless NPM=; ARGS="-k langchain")
	@if test -n "$(NPM)" && command -v $(NPM) >/dev/null; then \
		$(MAKE) --no-print-directory tests/clients/node/node_modules/.installed; \
		else echo "Without npm: its clients are left out unless they are there."; fi
	@$(BIN)/pytest tests/clients $(ARGS)

.clients/%/.installed: tests/clients/python/%.txt
	@echo "Installing Python clients ($*) …"
	@$(PYTHON) -m venv .clients/$*
	@.clients/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

tests/clients/node/node_modules/.installed: tests/clients/node/package.json
	@echo "Installing npm clients …"
	@$(NPM) install --silent --no-audit --no-fund --no-package-lock --prefix tests/clients/node
	@touch $@

docs: .venv/documenting ## build the documents as a site in .site/html, strictly, and check every link
	@$(BIN)/python -m docsite $(ARGS)

docs-serve: ## the same, and show it on port 8080 of this machine (ARGS="--port 9000")
	@$(MAKE) --no-print-directory docs ARGS="--serve $(ARGS)"

docs-pictures: .venv/developing ## draw docs/pictures anew, by the simulator (seconds)
	@$(BIN)/python -m docsite --pictures

prometheus: .prometheus/prometheus ## fetch Prometheus of Debian into .prometheus/ for the tests of dashboards and alerts (needs no root)

# Where the machine's own lists of packages are empty, as in fresh containers, they are read into a folder of ours. What
# cannot be had is left out: the tests that need it say so.
.prometheus/prometheus:
	@mkdir -p .prometheus/lists/partial .prometheus/cache
	@cd .prometheus && own="-o Dir::State::lists=$(CURDIR)/.prometheus/lists -o Dir::Cache=$(CURDIR)/.prometheus/cache"; \
		{ command -v apt-get && command -v dpkg-deb; } >/dev/null && \
		{ apt-get -qq download prometheus || { apt-get -qq $$own update && apt-get -qq $$own download prometheus; }; } >said 2>&1 && \
		dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/prometheus ./usr/bin/promtool || \
		echo "Without Debian's Prometheus: dashboards and alerts are tested without one."
	@rm -rf .prometheus/lists .prometheus/cache .prometheus/*.deb

dashboards: .venv/running ## write grafana/dashboards from grafana/boards
	@$(BIN)/python -m grafana.boards

clean: ## remove the environment and caches
	@rm -rf .venv .clients .prometheus tests/clients/node/node_modules .bench-peers .pytest_cache .ruff_cache .hypothesis .site dwa/compiled*

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Steelyard needs Python 3.11 or newer; set PYTHON=…")'
	@echo "Setting up .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

.venv/running: .venv/created pyproject.toml constraints.txt
	@echo "Installing Steelyard …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/developing: .venv/running
	@echo "Installing what tests and checks need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group test --group check --group deploy --group native
	@touch $@

.venv/documenting: .venv/developing
	@echo "Installing what builds the documents …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group docs
	@touch $@
