#!/bin/sh
# Every test that docs/design.md names exists.
set -eu
cd "$(dirname "$0")/../.."
bad=0
for n in $(grep -oE '(^|[^/])\b(unit/[a-z]+/[a-z_]+|netns/[a-z_]+|fuzz/[a-z_]+|lint/[a-z]+)' docs/design.md | sed 's/^[^a-z]*//' | sort -u); do
	case $n in
	unit/*) f=test/unit/$(echo "$n" | cut -d/ -f2)/test_$(echo "$n" | cut -d/ -f3).c ;;
	netns/*) f=test/netns/t_${n#netns/}.sh ;;
	fuzz/*) f=test/fuzz/fuzz_${n#fuzz/}.c ;;
	lint/*) f=test/lint/${n#lint/}.sh ;;
	esac
	[ -e "$f" ] || { echo "docs/design.md names $n, but there is no $f"; bad=1; }
done
[ $bad = 0 ] && echo "docs: fine"
exit $bad
