#!/bin/sh
# Every C file stands as .clang-format wants it. Fix: clang-format -i FILE.
set -eu
cd "$(dirname "$0")/../.."
bad=$(find include proto router cli test -name '*.[ch]' -exec sh -c \
	'for f; do clang-format "$f" | cmp -s - "$f" || echo "$f"; done' sh {} +)
[ -z "$bad" ] || { echo "not formatted:"; echo "$bad"; exit 1; }
echo "format: fine"
