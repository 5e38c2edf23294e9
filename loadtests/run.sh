#!/usr/bin/env bash
# Three worlds under the same load, and a report of them: loadtests/out/report.html, report.md, and loadtests/RESULTS.md.
#   loadtests/run.sh [--quick] [--worlds ttl,delete,stampline] [--out DIR]
# Installs what is missing first: servers by deploy/setup.sh, Locust and matplotlib into .venv-load.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$here/.venv-load
marker=$venv/.stampline-load

"$here/deploy/setup.sh"
stamp="$here $(sha256sum <"$here/pyproject.toml")"
if [ "$(cat "$marker" 2>/dev/null)" != "$stamp" ]; then
  echo "load: installing Locust and matplotlib into $venv" >&2
  "$here/.venv/bin/python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
  (cd "$here" && PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --editable '.[all]' --group loadtest)
  echo "$stamp" >"$marker"
fi
export PYTHONPATH=$here # loadtests and deploy are not installed; the working directory stays the caller's, for --out.
exec "$venv/bin/python" -m loadtests.report "$@"
