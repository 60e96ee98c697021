#!/usr/bin/env bash
# Takes away what scripts/install.sh put here, and leaves what is yours: config, rules, credentials, state and the user.
set -euo pipefail
root=${DESTDIR:-}
local=$root/usr/local
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
  echo "uninstall: run it as root (sudo make uninstall), or set DESTDIR" >&2
  exit 1
fi
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
  systemctl disable --now halond 2>/dev/null || true
fi
shopt -s nullglob
for each in "$root"/opt/halon/share/systemd/drop-ins/*.conf; do
  rm -f "$root/etc/systemd/system/halond.service.d/${each##*/}"
done
rmdir "$root/etc/systemd/system/halond.service.d" 2>/dev/null || true
rm -f "$local/lib/systemd/system/halond.service" "$local/lib/sysusers.d/halon.conf" "$local/bin/halon" \
  "$local/share/man/man1/halon.1" "$local/share/bash-completion/completions/halon" \
  "$local/share/zsh/site-functions/_halon" "$local/share/fish/vendor_completions.d/halon.fish"
rm -rf "$root/opt/halon" "$root/opt/halon.new" "$root/opt/halon.old"
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
echo "uninstall: done. Left as they are: /etc/halon, /var/lib/halon, the user halon, and all that is contained now."
