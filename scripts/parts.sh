#!/usr/bin/env bash
# Makes .venv-parts: servers from PyPI that the tests act on (MLflow, Ray), apart from Halon, whose dependencies they are not.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.venv-parts/.halon-parts
[ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || exit 0

python=.venv/bin/python
[ -x .venv-parts/bin/python ] && .venv-parts/bin/python -c 'import pip' 2>/dev/null || { rm -rf .venv-parts; "$python" -m venv .venv-parts; }
pip() { .venv-parts/bin/python -m pip --disable-pip-version-check --quiet "$@"; }
if pip install --upgrade "pip>=25.1" && pip install --only-binary :all: --group parts; then
  touch "$stamp"
else
  echo "parts: MLflow and Ray could not be installed, so their tests are skipped (an error where CI=true)" >&2
fi
