#!/usr/bin/env bash
# Makes the secrets that compose.yml mounts, once; those that are there stay. They are for trying things out on one machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

mkdir -p secrets
chmod 700 secrets
for name in mysql-root mysql grafana; do
  # Readable inside a container, whoever it runs as; outside, the folder keeps others away.
  [ -s "secrets/$name" ] || { openssl rand -hex 16 >"secrets/$name" && chmod 644 "secrets/$name"; }
done
[ -s secrets/tokens ] || { echo "you $(openssl rand -hex 24)" >secrets/tokens && chmod 644 secrets/tokens; }
