#!/bin/sh
# The layers of docs/design.md: who may include whom. Arrows point down only.
#	router -> proto -> proto/base -> include;  cli -> proto/{ctl,key,ipam,base}, router/{nl,file,ev}
# Exit 1 and one line per violation. `layers.sh --self-test` plants violations and expects them found.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${WEFT_ROOT:-$(cd "$here/../.." && pwd)}
exec python3 "$here/layers.py" "$root" "$@"
