# demo and test set up everything they need in .venv; a second run finds it done.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PROTO_VENV := .venv-proto
# Ahead of the first start, and also where PYTHONDONTWRITEBYTECODE would have every start compile 150 modules again.
BYTECODE := $(BIN)/python -m compileall -q logstream actors transport logstream_cli.py

.PHONY: demo test check bench proto clean

demo: $(VENV)/.run-time
	$(BIN)/logstream demo $(if $(FILE),--file "$(FILE)")

test: $(VENV)/.development
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(TESTS)

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/house

bench: $(VENV)/.run-time
	$(BIN)/logstream bench all

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no python3 found, install it first (Debian: apt install python3.11 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $(PYTHON) is too old, LogStream needs Python 3.11 or later (make PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "make: $(PYTHON) cannot make virtual environments, install the package python3-venv (apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run-time: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	$(BYTECODE)
	@touch $@

$(VENV)/.development: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	$(BYTECODE)
	@touch $@ $(VENV)/.run-time

# The generated module is committed; only who changes logstream.proto needs this.
proto: $(PROTO_VENV)/.ready
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -I. --python_out=. logstream/protocol/logstream.proto
	echo "# sha256 of logstream.proto: $$(sha256sum < logstream/protocol/logstream.proto | cut -d' ' -f1)" \
	  >> logstream/protocol/logstream_pb2.py

$(PROTO_VENV)/.ready: | $(BIN)/python
	$(BIN)/python -m venv $(PROTO_VENV)
	$(PROTO_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'grpcio-tools==1.74.*'
	@touch $@

clean:
	rm -rf $(VENV) $(PROTO_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
