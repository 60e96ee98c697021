#!/usr/bin/env bash
# Makes .venv in the repository's root with the `halon` command and the developers' tools in it: wheels only, no compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  python=/usr/bin/python3
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "setup: Python 3.11 or newer is needed; on Debian 12: apt-get install python3 python3-venv" >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing python3-venv (Debian splits it off)" >&2
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3 python3-venv
  else
    echo "setup: the venv module is missing; on Debian: apt-get install python3-venv" >&2
    exit 1
  fi
fi

# A venv that an interrupted set-up left behind, or one of another interpreter, is made anew.
[ -x .venv/bin/python ] && .venv/bin/python -c 'import pip' 2>/dev/null || { rm -rf .venv; "$python" -m venv .venv; }
pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet "$@"; }
pip install --upgrade "pip>=25.1"  # --group needs it
pip install --only-binary :all: --editable . --group dev
touch .venv/.halon-setup
echo "setup: .venv is ready ($(.venv/bin/python --version))"
