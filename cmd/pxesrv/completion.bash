# bash completion of pxesrv. It asks pxesrv itself, so it knows what the installed version can do.

_pxesrv() {
	# bash cuts words at = and :, which values and addresses have: they are put together again.
	local words=() word glue=
	for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
		if [[ $word == [=:]* && ${#words[@]} -gt 0 ]]; then
			words[${#words[@]} - 1]+=$word
			glue=yes
		elif [[ $glue ]]; then
			words[${#words[@]} - 1]+=$word
			glue=
		else
			words+=("$word")
		fi
	done
	local last=${words[${#words[@]} - 1]} line
	local cut=${last%"${last##*[=:]}"} # what stands before the piece that bash completes
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "${last#"$cut"}") ;;
		:dirs) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "${last#"$cut"}") ;;
		:open) compopt -o nospace ;;
		*)
			line=${line%%$'\t'*}
			COMPREPLY+=("${line#"$cut"}")
			;;
		esac
	done < <("$1" __complete "${words[@]}" 2>/dev/null)
}

complete -F _pxesrv pxesrv
