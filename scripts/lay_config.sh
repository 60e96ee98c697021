#!/usr/bin/env bash
# lay_config.sh SHIPPED LAST ETC: the files below SHIPPED to ETC, by what became of those of LAST, the ones shipped before.
#
# A file that is still as it was shipped is replaced; an edited one stays and gets what is shipped now beside it as
# FILE.new; one that was removed stays away; one that is no longer shipped stays as it is.
set -euo pipefail
shipped=$1 last=$2 etc=$3
same() { [ -e "$1" ] && cmp -s "$1" "$2"; }
while IFS= read -r -d '' file; do
  name=${file#"$shipped/"}
  if [ ! -e "$etc/$name" ]; then
    [ -e "$last/$name" ] || install -Dm644 "$file" "$etc/$name"
  elif same "$etc/$name" "$file"; then
    rm -f "$etc/$name.new"
  elif same "$last/$name" "$etc/$name"; then
    install -m644 "$file" "$etc/$name"
  elif ! same "$last/$name" "$file"; then
    install -m644 "$file" "$etc/$name.new"
    echo "install: $etc/$name was edited and is kept; what is shipped now stands beside it as ${name##*/}.new"
  fi
done < <(find "$shipped" -type f -print0)
