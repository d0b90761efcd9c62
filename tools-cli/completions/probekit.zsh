#compdef probekit funccount stackcount trace
# Completion for zsh. The tools are asked, since only they know the probes.
_probekit() {
    local line value help
    local -a open whole shown told
    # What is run behind -- has its own completion.
    local -i command=${words[(i)--]}
    if (( command < CURRENT )); then
        shift $command words
        (( CURRENT -= command ))
        _normal
        return
    fi
    for line in "${(@f)$(@PROBEKIT@ complete -- "${(@Q)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null)}"; do
        value=${line%%$'\t'*} help=${line#*$'\t'}
        case $value in
            '') ;;
            *[:/]) open+=("$value") ;;
            *) whole+=("$value") shown+=("$value${help:+  -- $help}") ;;
        esac
    done
    if (( ${#open} + ${#whole} == 0 )); then
        _files
        return
    fi
    compadd -S '' -a open
    # A line each where something is told of them, else in columns.
    told=("${(@M)shown:#*  -- *}")
    if (( ${#told} )); then
        compadd -l -d shown -a whole
    else
        compadd -a whole
    fi
}
# As a file of $fpath it is run at the first Tab, else it is sourced.
if [[ ${funcstack[1]} == _probekit ]]; then
    _probekit "$@"
else
    compdef _probekit probekit funccount stackcount trace
fi
