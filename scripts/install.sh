#!/usr/bin/env bash
# Puts Halon on this machine: a venv under /opt/halon, config and rules under /etc/halon, the unit, man page, completion.
#
#   scripts/install.sh [--drop-in process] [--drop-in nftables] …
#
# Run again, it upgrades: the new venv is made beside the old one and takes its place only when it is whole. A config or
# rule file that was edited is never overwritten: what is shipped then goes beside it as FILE.new. Environment: DESTDIR
# (stage below it, touch no service), PYTHON (default /usr/bin/python3: what a unit with ProtectHome can reach), EXTRAS
# (client libraries: `postgres,redis`); pip's own settings (PIP_INDEX_URL, PIP_NO_INDEX, PIP_FIND_LINKS) hold.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

python=${PYTHON:-/usr/bin/python3}
root=${DESTDIR:-}
home=/opt/halon
etc=$root/etc/halon
local=$root/usr/local
dropins=()
while [ $# -gt 0 ]; do
  case $1 in
    --drop-in)
      [ -f "systemd/drop-ins/${2:-}.conf" ] || {
        echo "install: no drop-in \`${2:-}\`; there are: $(cd systemd/drop-ins && basename -as .conf *.conf | xargs)" >&2
        exit 2
      }
      dropins+=("$2")
      shift 2
      ;;
    *) echo "install: unknown argument $1" >&2; exit 2 ;;
  esac
done
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
  echo "install: this writes to $home and /etc: run it as root (sudo make install), or set DESTDIR" >&2
  exit 1
fi
"$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  echo "install: $python has to be Python 3.11 or newer with the venv module; on Debian: apt-get install python3-venv" >&2
  exit 1
}

# --- The venv, whole before it takes the place of the old one -------------------------------------------------------
new=$root$home.new
wheels=$(mktemp -d)
trap 'rm -rf "$wheels" "$new"' EXIT
rm -rf "$new"
mkdir -p "$root/opt"
"$python" -m venv "$new"
pip() { "$new/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip wheel --no-deps --wheel-dir "$wheels" .
wheel=$(echo "$wheels"/halon-*.whl)
pip install --no-compile --only-binary :all: "$wheel${EXTRAS:+[$EXTRAS]}"
# Scripts and pyvenv.cfg name the folder they were made in
grep -rlI --exclude-dir=site-packages -- "$new" "$new" | xargs -r sed -i "s|$new|$home|g"
# The daemon can't write beside its own code; a file of a package for another version of Python may not compile
"$new/bin/python" -m compileall -q -j 0 -s "$new" -p "$home" "$new/lib" >/dev/null || true
mkdir -p "$new/share/doc" "$new/share/shipped" "$new/share/systemd"
cp -r docs/. "$new/share/doc/"
cp LICENSE CHANGELOG.md "$new/share/doc/"
cp -r systemd/. "$new/share/systemd/"
# As it is installed, the control socket stands where the group can reach it: the state directory is the daemon's alone
sed 's|^control_socket = ""  |control_socket = "/run/halon/control.sock"|' config.toml >"$new/share/shipped/config.toml"
grep -q '^control_socket = "/run/halon/control.sock"' "$new/share/shipped/config.toml"
(cd rules && find . -name '*.toml' -type f -print0 | xargs -0 -I{} install -Dm644 {} "$new/share/shipped/rules/{}")

# --- Config and rules ----------------------------------------------------------------------------------------------
mkdir -p "$etc"
install -d -m 700 "$etc/credentials"
bash scripts/lay_config.sh "$new/share/shipped" "$root$home/share/shipped" "$etc"

# --- The swap ------------------------------------------------------------------------------------------------------
rm -rf "$root$home.old"
[ ! -e "$root$home" ] || mv "$root$home" "$root$home.old"
mv "$new" "$root$home"
rm -rf "$root$home.old"

# --- The unit and what people type ---------------------------------------------------------------------------------
install -Dm644 systemd/halond.service "$local/lib/systemd/system/halond.service"
install -Dm644 systemd/halon.sysusers.conf "$local/lib/sysusers.d/halon.conf"
for each in "${dropins[@]}"; do
  install -Dm644 "systemd/drop-ins/$each.conf" "$root/etc/systemd/system/halond.service.d/$each.conf"
done
mkdir -p "$local/bin"
ln -sfn "$home/bin/halon" "$local/bin/halon"
install -Dm644 docs/man/halon.1 "$local/share/man/man1/halon.1"
completion() {
  mkdir -p "$(dirname "$2")"
  "$root$home/bin/python" -m engine.cli completion "$1" >"$2"
}
completion bash "$local/share/bash-completion/completions/halon"
completion zsh "$local/share/zsh/site-functions/_halon"
completion fish "$local/share/fish/vendor_completions.d/halon.fish"

if [ -z "$root" ] && [ -d /run/systemd/system ]; then
  systemd-sysusers halon.conf
  systemctl daemon-reload
  if systemctl --quiet is-active halond; then
    echo "install: done. The old version still runs: systemctl restart halond (what is contained stays contained)"
    exit 0
  fi
fi
echo "install: done. Next: edit /etc/halon/config.toml, then"
echo "  halon check && systemctl enable --now halond && halon status"
