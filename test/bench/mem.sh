#!/bin/bash
# mem.sh [NODES...] - how much memory one real weftd takes in a cluster of so many nodes (1000 5000), the simulator
# playing the others (docs/simulator.md): VmRSS after it knows all and has rested, of which anonymous memory, and the
# most that it ever was. ROUNDS (3) runs, each with another seed; REST (60) seconds; WORKERS (2); OPTIONS for
# weft-sim-peers, --whole for example. Needs root and a build (WEFT_BUILD=DIR).
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"
. "$root/test/netns/lib.sh"
. "$root/test/netns/simpeers_lib.sh"
net_init mem "$(mktemp -d)"
trap net_end EXIT
rounds=${ROUNDS:-3} rest=${REST:-60}

memory() { awk -v k="$1:" '$1 == k {print $2}' "/proc/$(cat "$net_dir/h1/pid")/status"; }
knows_all() { json_at h1 "d['cluster']['up'] == $1 and d['prefixes']['remote'] >= $(($1 - 1))" status; }

simpeers_net
echo "| nodes | VmRSS, MiB | of that anonymous | at most | until it knew all, s |"
echo "|---|---|---|---|---|"
for n in "${@:-1000 5000}"; do for nodes in $n; do
	: >"$net_dir/figures"
	for round in $(seq "$rounds"); do
		# shellcheck disable=SC2086
		simpeers_start $((nodes - 1)) "$round" ${OPTIONS:-}
		rm -rf "$net_dir/h1"
		t0=$(now_ms)
		simpeers_daemon --workers "${WORKERS:-2}" >/dev/null
		WAIT=300 wait_for "the daemon to know all $nodes" knows_all "$nodes" ||
			fail "it knows $(json_at h1 "[d['cluster'], d['prefixes'], d['membership']]" status)"
		took=$(($(now_ms) - t0))
		/usr/bin/python3 -c "import time; time.sleep($rest)"
		knows_all "$nodes" || fail "it lost somebody: $(json_at h1 "d['membership']" status)"
		echo "$(memory VmRSS) $(memory RssAnon) $(memory VmHWM) $took" >>"$net_dir/figures"
		weftd_stop h1 TERM
		simpeers_stop
		tail -1 "$net_dir/sim.log" >&2
	done
	/usr/bin/python3 - "$nodes" "$net_dir/figures" <<-'PY'
		import statistics, sys
		rows = [[int(v) for v in l.split()] for l in open(sys.argv[2])]
		cells = []
		for i, (unit, digits) in enumerate([(1024, 1)] * 3 + [(1000, 1)]):
		    v = [r[i] / unit for r in rows]
		    cells.append(f'{statistics.median(v):.{digits}f} [{min(v):.{digits}f}-{max(v):.{digits}f}]')
		print('|', ' | '.join([f'{int(sys.argv[1]):,}'] + cells), '|')
	PY
done; done
