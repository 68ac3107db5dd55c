# fish completion of pxesrv. It asks pxesrv itself, so it knows what the installed version can do.

function __pxesrv_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l before (string match -r -- '^-[^=]*=' $last)
    for line in ($words[1] __complete $words[2..-1] "$last" 2>/dev/null)
        switch $line
            case ':files'
                printf "$before%s\n" (__fish_complete_path (string sub -s (math 1 + (string length -- "$before")) -- $last))
            case ':dirs'
                printf "$before%s\n" (__fish_complete_directories (string sub -s (math 1 + (string length -- "$before")) -- $last) '')
            case ':open'
            case '*'
                echo $line
        end
    end
end

complete -c pxesrv -f -a '(__pxesrv_complete)'
