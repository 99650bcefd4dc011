# bash completion of weft(8).

_weft()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} i verb= sub=
	local verbs="status connect forget cluster bgp down report key install help version"

	case $prev in
	--socket | --out)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	-o)
		mapfile -t COMPREPLY < <(compgen -W "text json" -- "$cur")
		return
		;;
	esac
	# the words that are no options
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket | --out | -o) ((i++)) ;;
		-*) ;;
		*)
			if [[ -z $verb ]]; then
				verb=${COMP_WORDS[i]}
			elif [[ -z $sub ]]; then
				sub=${COMP_WORDS[i]}
			fi
			;;
		esac
	done
	if [[ $cur == -* ]]; then
		local options="--socket -o --help"
		[[ $verb == key && $sub == new ]] && options+=" --out"
		[[ $verb == bgp && $sub == shutdown ]] && options+=" --message"
		[[ $verb == bgp && $sub == record ]] && options+=" --neighbour --for"
		[[ $verb == cluster && $sub == link ]] && options+=" --name --expires"
		[[ $verb == cluster && $sub == accept ]] && options+=" --name"
		[[ $verb == status && $sub == bgp ]] && options+=" --neighbour --received --advertised --best --why"
		[[ $verb == bgp && $sub == policy ]] &&
			options+=" --neighbour --policy --in --out --as-path --community --med --local-preference --next-hop"
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	case "$verb $sub" in
	" ") mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
	"status ")
		mapfile -t COMPREPLY < <(compgen -W "peers connections routes targets ipam bgp policy segments clusters" -- "$cur")
		;;
	"cluster ") mapfile -t COMPREPLY < <(compgen -W "link accept unlink" -- "$cur") ;;
	"bgp ") mapfile -t COMPREPLY < <(compgen -W "refresh shutdown start clear drain undrain reload dump record policy" -- "$cur") ;;
	"status bgp") mapfile -t COMPREPLY < <(compgen -W "routes policy" -- "$cur") ;;
	"bgp policy") mapfile -t COMPREPLY < <(compgen -W "test" -- "$cur") ;;
	"key ") mapfile -t COMPREPLY < <(compgen -W "new show" -- "$cur") ;;
	"install ") mapfile -t COMPREPLY < <(compgen -W "kubernetes cni removal undo" -- "$cur") ;;
	"key show" | "bgp dump" | "bgp record")
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	"help ") mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
	esac
}
complete -F _weft weft
