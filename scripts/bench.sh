#!/usr/bin/env bash
# Makes .venv-bench with the peers of the benchmarks, then runs them. A peer that can't be installed (a compiler, a
# processor without wheels) is said by its line in the tables. `bench.sh --full` takes half an hour.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x .venv-bench/bin/python ] || "${PYTHON:-python3}" -m venv .venv-bench
pip() { .venv-bench/bin/python -m pip --disable-pip-version-check --quiet "$@"; }
pip install --upgrade "pip>=25.1"
pip install --editable .
.venv-bench/bin/python - <<'PYTHON' | while read -r peer; do
import tomli
print(*tomli.load(open("pyproject.toml", "rb"))["dependency-groups"]["bench"], sep="\n")
PYTHON
  pip install "$peer" || echo "bench: $peer can't be installed here" >&2
done
.venv-bench/bin/python -m benchmarks.matching "$@"
.venv/bin/python -m benchmarks.state
.venv/bin/python -m benchmarks.restart
.venv/bin/python -m benchmarks.commits
.venv/bin/python -m benchmarks.end_to_end
.venv-bench/bin/python -m benchmarks.forensics_peers
.venv/bin/python -m benchmarks.latency
