#!/usr/bin/env bash
# Installs the Debian packages that the tests use as real parts. Without root it only says what is missing.
set -euo pipefail
packages=(mosquitto mosquitto-clients nftables iproute2 haproxy redis-server postgresql slurmctld slurmd slurm-client openssl prometheus prometheus-alertmanager systemd-container strace e2fsprogs libfaketime)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "packages: installing ${missing[*]}"
  # No service may start by itself: the tests start each on a private port.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "packages: missing, so their tests are skipped: ${missing[*]}  (apt-get install ${missing[*]})" >&2
fi
