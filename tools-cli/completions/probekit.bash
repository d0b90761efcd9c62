# Completion for bash. The tools are asked, since only they know the probes.
_probekit() {
    local line=${COMP_LINE:0:COMP_POINT} words word quote='' IFS=$' \t\n'
    # What is run behind -- has its own completion.
    local at
    for ((at = 1; at < COMP_CWORD; at++)); do
        if [[ ${COMP_WORDS[at]} == -- ]]; then
            _probekit_command $((at + 1))
            return
        fi
    done
    # In words as the tools take them: bash also breaks at colons.
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    word=${words[-1]}
    if [[ $word == [\'\"]* ]]; then
        quote=${word:0:1}
        words[-1]=${word:1}
    fi
    # Bash replaces what is behind the last colon, unless the word is quoted.
    local kept=''
    if [[ -z $quote && $COMP_WORDBREAKS == *:* && $word == *:* ]]; then
        kept=${word%"${word##*:}"}
    fi
    COMPREPLY=()
    local value help
    while IFS=$'\t' read -r value help; do
        [[ $value == *[:/] ]] && compopt -o nospace
        value=${value#"$kept"}
        [[ -z $quote ]] && printf -v value %q "$value"
        COMPREPLY+=("$value")
    done < <(@PROBEKIT@ complete -- "${words[@]}" 2>/dev/null)
}
# The command that begins with a word: as bash-completion has it, or its name, and then files.
_probekit_command() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif ((COMP_CWORD == $1)); then
        mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
    fi
}
complete -o bashdefault -o default -F _probekit probekit funccount stackcount trace
