#!/bin/bash
# run.sh SECONDS TARGET CORPUS-DIR...: run a libFuzzer target until it has used that much CPU time, or
# found something. Exit 0: no finding.
set -euo pipefail
secs=$1 target=$2
shift 2
work=$(mktemp -d)
# Its own handler of TERM may wait for ever for a lock of the allocator that it interrupted.
"$target" -handle_term=0 -max_total_time=$((secs * 20)) -timeout=20 -rss_limit_mb=2048 -max_len=8192 -artifact_prefix="$work/" "$@" \
	>"$work/log" 2>&1 &
pid=$!
trap 'kill -9 $pid 2>/dev/null || true; rm -rf "$work"' EXIT
cpu() { awk -v hz="$(getconf CLK_TCK)" '{print int(($14 + $15) / hz)}' "/proc/$pid/stat" 2>/dev/null || echo "$secs"; }
while kill -0 $pid 2>/dev/null && [ "$(cpu)" -lt "$secs" ]; do sleep 0.5; done
kill -TERM $pid 2>/dev/null || true
rc=0
wait $pid || rc=$?
findings=$(find "$work" -type f ! -name log)
grep -E '^#[0-9]+.*(DONE|pulse|REDUCE|NEW)' "$work/log" | tail -1 || true
if [ -n "$findings" ]; then
	tail -40 "$work/log"
	for f in $findings; do echo "finding $(basename "$f"):"; base64 "$f" | head -20; done
	exit 1
fi
# Ended by our own TERM, or by itself after the time: fine. Anything else is a crash without a file.
case $rc in 0 | 143 | 72 | 130) exit 0 ;; esac
tail -40 "$work/log"
exit 1
