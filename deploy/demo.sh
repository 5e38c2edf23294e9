#!/usr/bin/env bash
# Two datacenters on this machine: write in A, watch every web process in B serve the new value a WAN delay later.
#   deploy/demo.sh [--seconds N] [--wan-ms N] [--report FILE] [--secure] [--keep]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

"$here/deploy/setup.sh"
export PYTHONPATH=$here # deploy is not installed; the working directory stays the caller's, for --report.
exec "$here/.venv/bin/python" -m deploy.simulation demo "$@"
