# What there is to do here; `make` alone lists it. PYTHON=python3.12 chooses the Python.
PYTHON ?= python3
VENV = .venv/bin/python
MAKE_VENV = command -v $(PYTHON) >/dev/null || { \
	echo "$(PYTHON) was not found. Install Python 3.11 or newer, or name it: PYTHON=python3.12"; \
	exit 1; }; \
	$(PYTHON) scripts/make_venv.py

.DEFAULT_GOAL := help
.PHONY: help demo up flower superuser test pictures faults check bench lock editor venv venv-dev

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]* ## /  make \1\t/p' Makefile | expand -t 18

demo: venv ## start everything with demo data (PORT=8000 SMTP_PORT=8025)
	@$(VENV) -m site_config.launch --demo

up: venv ## start everything without demo data
	@$(VENV) -m site_config.launch

flower: venv ## watch Celery in a browser, with a login (FLOWER_PORT=5555)
	@$(VENV) -m site_config.flower

superuser: venv ## create an administrator
	@$(VENV) manage.py createsuperuser

test: venv-dev ## run all tests; the last line says what was not run
	@$(VENV) tests/run.py

pictures: venv-dev ## take the guides' pictures anew, into docs/images
	@SCREENSHOTS=docs/images $(VENV) -m pytest -q -n0 -p no:randomly tests/browser/test_staff_at_work.py

faults: venv-dev ## make everything go wrong, a line each (ONLY=name KILLS=200 SEED=number)
	@$(VENV) -m faults $(ONLY)

check: venv-dev ## lint, types, layers, production settings, migrations, tables, locked requirements
	@$(VENV) scripts/check.py

bench: venv-dev ## measure against peers, a line each (ONLY=name SIZE=1000000)
	@export VENV_FOLDER=bench/.venv; $(MAKE_VENV) requirements-bench.txt
	@$(VENV) -m bench $(ONLY)

lock: venv-dev ## compile requirements*.in anew
	@$(VENV) scripts/locks.py write

editor: ## bundle the source editor anew, as scripts/codemirror says (needs Node.js)
	@cd scripts/codemirror && npm ci --no-audit --no-fund && node build.js

venv:
	@$(MAKE_VENV) requirements.txt

venv-dev:
	@$(MAKE_VENV) requirements.txt requirements-dev.txt
