#!/bin/bash
# program.sh WEFT-SIM: the program's options and their errors, what it prints, its exit status, that the command
# which it prints of a failure repeats it, and sweeps that are killed and go on.
set -euo pipefail
sim=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

die() {
	echo "FAILED: $*" >&2
	for f in out err; do [ ! -s "$dir/$f" ] || tail -20 "$dir/$f" | sed "s/^/$f| /" >&2; done
	exit 1
}
# run STATUS OPTION...: output to $dir/out and $dir/err.
run() {
	local want=$1 rc=0
	shift
	"$sim" "$@" >"$dir/out" 2>"$dir/err" || rc=$?
	[ $rc = "$want" ] || die "weft-sim $*: exit status $rc instead of $want"
}
digest() { sed -n 's/^trace  *//p' "$dir/out"; }
failure() { grep '^FAILED at' "$dir/err"; }
again() { sed -n 's/^again with: weft-sim //p' "$dir/err"; }

echo "--- options that are wrong"
while read -r line; do
	# shellcheck disable=SC2086
	run 2 $line
	grep -q '^usage: weft-sim' "$dir/err" && grep -q '^profiles: none ' "$dir/err" || die "no usage after: $line"
	[ ! -s "$dir/out" ] || die "$line: something on stdout"
done <<'LIST'
--nonsense
--nodes
--nodes 0
--nodes 5x
--nodes -1
--nodes 1000000000
--seed x
--seed 99999999999999999999
--for
--for 5y
--for -5s
--for nan
--for 1e300h
--faults some
--converge soon
--routable later
--join x
--ghosts 5
--ghosts 5 --no-crypto
--sweep 5
--sweep 7-3
--sweep -3-7
--jobs 0
--measure nothing
--measure join,nothing
--ignore
--ignore nothing
--plant 1000
--nodes 5 more
LIST
run 2 --measure ''
run 2 --ignore ''

echo "--- a run that is fine"
small="--nodes 6 --seed 3 --faults all --data --for 130s --no-crypto"
# shellcheck disable=SC2086
run 0 $small
[ ! -s "$dir/err" ] || die "a run that is fine says something on stderr"
for word in 'nodes 6, seed 3, faults all, no crypto$' 'time  ' 'join  ' 'agreement  ' 'idle node  ' 'calls  ' 'pairs  ' \
	'datagrams  ' 'signatures  .* verified$' 'trace  *[0-9a-f]\{16\}$'; do
	grep -q "^$word" "$dir/out" || die "no line '$word' in the summary"
done
plain=$(digest)
# shellcheck disable=SC2086
run 0 $small --trace
[ "$(digest)" = "$plain" ] || die "--trace changes the run"
[ "$(wc -l <"$dir/err")" -gt 1000 ] && grep -q '^\[ .* agreement' "$dir/err" || die "--trace prints no trace"
# shellcheck disable=SC2086
run 0 ${small/seed 3/seed 4}
[ "$(digest)" != "$plain" ] || die "another seed, the same run"

echo "--- each node verifies each signature: the same run"
for crypto in --no-crypto ""; do
	# shellcheck disable=SC2086
	run 0 ${small/--no-crypto/$crypto}
	shared=$(digest)
	# shellcheck disable=SC2086
	run 0 ${small/--no-crypto/$crypto} --own-signatures
	[ "$(digest)" = "$shared" ] || die "--own-signatures changes the run"
	grep -q '^signatures .*each node on its own' "$dir/out" || die "--own-signatures isn't told"
done

# repeats WANTED OPTION...: such a run fails; the command that it prints has WANTED and fails alike, to the last event.
repeats() {
	local wanted=$1 command
	shift
	run 1 "$@"
	! grep -q '^nodes ' "$dir/out" || die "a failed run prints a summary"
	command=$(again)
	failure >/dev/null || die "no invariant is named"
	[[ " $command " == *" $wanted "* ]] || die "'$wanted' is not in: $command"
	mv "$dir/err" "$dir/first"
	# shellcheck disable=SC2086
	run 1 $command
	cmp "$dir/first" "$dir/err" || die "not the same failure: $command"
	echo "$(failure) ($command)"
}
echo "--- the command that repeats a failure"
base="--nodes 5 --seed 2 --faults crash --no-crypto --plant 12" # a node's driver misses a route
# shellcheck disable=SC2086
while read -r option; do
	repeats "$option" $base $option
done <<'LIST'
--for 150250ms
--converge 10s
--routable 2500ms
--join 5s
--join 1.000000001s
--full-mesh
--no-claims
--no-paths
--data
--own-signatures
--ignore keys,claims
LIST
# Each of these decides about the failure itself.
repeats "--converge 0s" --nodes 4 --join 1250ms --converge 0ms --for 30s --no-crypto
[[ $(failure) == *": agreement: "* ]] || die "agreement in no time, said: $(failure)"
repeats "--ignore routes" --nodes 5 --faults crash --plant 12 --ignore routes
[[ $(failure) == *": routable: "* ]] || die "a lost route, not looked for, said: $(failure)"
repeats "--measure join,spread" --nodes 6 --measure join,spread --converge 0s --join 0s --no-crypto

echo "--- measurements"
run 0 --nodes 8 --no-crypto --measure join,idle --for 30s --rows
grep -q '^| all joined and agree.* | 8 | [0-9.]* s | [0-9.]* s | 1 |$' "$dir/out" &&
	grep -q '^| sent per idle node, mean | 8 | [0-9.]* bytes/s ' "$dir/out" || die "no rows of figures"
run 0 --nodes 8 --no-crypto --measure join --sweep 1-3
grep -q '8 nodes  median .* of 3$' "$dir/out" || die "not a figure of three seeds"

echo "--- a sweep that is killed goes on"
sweep="--nodes 8 --for 130s --faults all --data --no-crypto --sweep 1-24"
lines() { # of fine seeds in the journal, which may not be there yet
	local n
	n=$(grep -c ' fine .*$' "$1" 2>/dev/null) || true
	echo "${n:-0}"
}
# shellcheck disable=SC2086
"$sim" $sweep --jobs 2 --journal "$dir/journal" >"$dir/out" 2>"$dir/err" &
pid=$!
while kill -0 $pid 2>/dev/null && [ "$(lines "$dir/journal")" -lt 3 ]; do sleep 0.05; done
kill -9 $pid || die "the sweep was done before it could be killed"
wait $pid 2>/dev/null || true
known=$(lines "$dir/journal")
[ "$known" -ge 3 ] && [ "$known" -lt 24 ] || die "$known of 24 seeds done by who was killed"
printf '23 fi' >>"$dir/journal" # what a crash may leave
# shellcheck disable=SC2086
run 0 $sweep --journal "$dir/journal"
grep -q "^$((24 - known)) seeds run, $known known from before, 0 failed$" "$dir/out" || die "not what was missing"
[ "$(sed 1d "$dir/journal" | cut -d' ' -f1 | sort -n | tr '\n' ' ')" = "$(seq -s ' ' 1 24) " ] || die "not each seed once"
# shellcheck disable=SC2086
run 0 $sweep --journal "$dir/journal"
grep -q '^0 seeds run, 24 known' "$dir/out" || die "a sweep that was done did something"
run 0 --nodes 8 --for 130s --faults all --data --no-crypto --seed 24
grep -q "^24 fine .* trace $(digest)\$" "$dir/journal" || die "a seed of a sweep is another run than by itself"
for other in "--nodes 11" "--for 131s" "--converge 9s" --no-claims --no-paths --full-mesh "--ignore keys"; do
	# shellcheck disable=SC2086
	run 1 $sweep --journal "$dir/journal" $other
	grep -q 'is the journal of other runs' "$dir/err" || die "the journal was taken for one with $other"
done
run 1 $sweep --journal "$dir/none/such"
{ cat "$sim" && echo; } >"$dir/other" # another build
chmod +x "$dir/other"
cp "$dir/journal" "$dir/kept"
# shellcheck disable=SC2086
sim=$dir/other run 1 $sweep --journal "$dir/journal"
grep -q 'was begun by another build of weft-sim; name another --journal' "$dir/err" || die "another build went on"
grep -q '^0 seeds run, 0 known' "$dir/out" && cmp "$dir/journal" "$dir/kept" || die "another build touched the journal"

echo "--- a sweep tells which seeds failed, and how to repeat them"
run 1 --nodes 5 --faults crash --no-crypto --plant 12 --sweep 2-3
grep -q '^2 seeds run, 0 known from before, 2 failed: ' "$dir/out" || die "failed seeds aren't named"
[ "$(grep -c '^again with: weft-sim ' "$dir/out")" = 2 ] || die "no command for each failed seed"
said=$(sed -n 's/^seed 2 FAILED \([a-z-]* at [0-9.]*\) s: .*/\1/p' "$dir/out")
command=$(sed -n '/ --seed 2 /s/^again with: weft-sim //p' "$dir/out")
# shellcheck disable=SC2086
run 1 $command
[ "$(failure | awk '{ sub(":$", "", $5); printf "%s at %.1f", $5, $3 }')" = "$said" ] ||
	die "seed 2 failed by $said, and by itself: $(failure)"
echo fine
