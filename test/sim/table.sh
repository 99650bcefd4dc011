#!/bin/bash
# The table of docs/simulator.md, from weft-sim's own measurements, as Markdown on standard output. Exit 1 if a figure is
# above what is asked for of 1,000 nodes, or missing; a line on standard error for each.
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
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT

measure() { # WHAT NODES [OPTION...]
	local what=$1 n=$2
	shift 2
	"$sim" --no-crypto --converge 120s --nodes "$n" --measure "$what" --sweep "$seeds" --rows "$@" | tee -a "$rows"
}

# The rows against the reaches: median and worst at most. What a node sends: also against 100 nodes.
judge() {
	awk -F ' *[|] *' '
	function reach(name, median, worst) { m[name] = median; w[name] = worst }
	function bad(text) { print text > "/dev/stderr"; failed = 1 }
	BEGIN {
		reach("all joined and agree, from the first start", 30, 30)
		reach("a changed record known by 99 %", 2, 2)
		reach("a changed record known by all", 5, 5)
		reach("a silent node declared dead, at each other node", 5, 15)
		reach("healthy nodes declared dead, 5 % loss", 0, 0)
		reach("fast nodes declared dead, a tenth of the others slow", 0, 0)
		reach("agreement after the halves meet again", 10, 10)
		reach("sent per idle node, mean", 3000, 3000)
		reach("sent per idle node, the busiest", 3000, 3000)
	}
	$2 in m {
		seen[$2] = 1
		if ($6 + 0 < 1) bad($2 " (" $3 " nodes): no sample")
		if ($4 + 0 > m[$2]) bad($2 " (" $3 " nodes): median " $4 " is above " m[$2])
		if ($5 + 0 > w[$2]) bad($2 " (" $3 " nodes): worst " $5 " is above " w[$2])
	}
	$2 == "sent per idle node, mean" { sent[$3 + 0] = $4 + 0 }
	END {
		for (name in m) if (!(name in seen)) bad(name ": not measured")
		if (!(100 in sent) || !(5000 in sent)) bad("idle traffic: 100 and 5,000 are to be compared")
		for (n in sent) if (sent[n] > 1.5 * sent[100])
			bad("a node of " n " sends " sent[n] / sent[100] " times what one of 100 does, more than 1.5")
		exit failed
	}' "$rows"
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
judge
