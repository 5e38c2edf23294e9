#!/usr/bin/env bash
# Every check there is: set-up, linters, types, all tests. Arguments go to pytest: deploy/test.sh -k relay
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

deploy/setup.sh --test
bin=$PWD/.venv/bin
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/lint-imports"
# Two workers, each with servers of its own. Nothing is printed after pytest's summary.
exec "$bin/python" -m pytest -n 2 --dist loadgroup "$@"
