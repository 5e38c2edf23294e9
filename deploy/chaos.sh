#!/usr/bin/env bash
# The fault matrix on real processes: each component, each fault, each load; exit 1 on a violated invariant.
#   deploy/chaos.sh [--components a,b] [--faults x,y] [--loads idle,load,hot] [--scale 20] [--report DIR]
#   deploy/chaos.sh mass [--reads 1e8] [--processes 2] [--scale 20]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

"$here/deploy/setup.sh"
export PYTHONPATH=$here # deploy is not installed; the working directory stays the caller's, for --report.
exec "$here/.venv/bin/python" -m deploy.simulation.chaos "$@"
