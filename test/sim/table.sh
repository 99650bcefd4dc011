#!/bin/bash
# The table of docs/simulator.md, from weft-sim's own measurements, as Markdown on standard output.
#	table.sh WEFT-SIM [NODES] [SEEDS]	(1000, 1-3)
# QUICK=1 takes a minute of virtual time where an hour or ten minutes are asked: to see that it works.
# Long: an hour and more on two cores with the default numbers.
set -euo pipefail
sim=${1:?which weft-sim?}
nodes=${2:-1000}
seeds=${3:-1-3}
quick=()
[ -z "${QUICK:-}" ] || quick=(--for 60s)
idle_nodes=${IDLE_NODES:-100 $nodes}

measure() { # WHAT NODES [OPTION...]
	local what=$1 n=$2
	shift 2
	"$sim" --no-crypto --converge 120s --nodes "$n" --measure "$what" --sweep "$seeds" --rows "$@"
}

echo "| what | nodes | median | worst | samples |"
echo "|---|---|---|---|---|"
# Those of one line share the life of a cluster, and its join.
measure join,spread,death "$nodes"
measure partition,loss,slow "$nodes" "${quick[@]}"
for n in $idle_nodes; do
	measure idle "$n" "${quick[@]}"
done
# What 5,000 know of each other does not fit: some whole nodes among ghosts.
measure idle 20 --ghosts 4980 --no-claims "${quick[@]}"
echo
echo "Seeds $seeds, no crypto, $(uname -m), $(nproc) processors."
