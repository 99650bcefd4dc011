#!/bin/sh
# Every C file stands as .clang-format wants it (fix: clang-format -i FILE), and each test script can be run.
set -eu
cd "$(dirname "$0")/../.."
bad=$(find include proto router cli test -name '*.[ch]' -exec sh -c \
	'for f; do clang-format "$f" | cmp -s - "$f" || echo "$f"; done' sh {} +)
[ -z "$bad" ] || { echo "not formatted:"; echo "$bad"; exit 1; }
bad=$(find test -name 't_*.sh' ! -perm -u=x)
[ -z "$bad" ] || { echo "not executable (chmod +x):"; echo "$bad"; exit 1; }
echo "format: fine"
