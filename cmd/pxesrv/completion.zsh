#compdef pxesrv
# zsh completion of pxesrv. It asks pxesrv itself, so it knows what the installed version can do.

_pxesrv() {
	local line files=
	local -a all open
	for line in ${(f)"$($words[1] __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)"}; do
		case $line in
		(:files) files=_files ;;
		(:dirs) files=(_files -/) ;;
		(:open) open=(-S '') ;;
		(*$'\t'*) all+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		(*) all+=("${line//:/\\:}") ;;
		esac
	done
	if [[ -n $files ]]; then
		compset -P '-*='
		$files
	else
		_describe pxesrv all "${open[@]}"
	fi
}

# Read by source, it is registered; found in $fpath, it is called.
if [[ $funcstack[1] == _pxesrv ]]; then
	_pxesrv "$@"
else
	compdef _pxesrv pxesrv
fi
