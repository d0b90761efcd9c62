# Completion for bash. The tools are asked, since only they know the probes.
_probekit() {
    local line=${COMP_LINE:0:COMP_POINT} words word quote='' IFS=$' \t\n'
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
complete -o bashdefault -o default -F _probekit probekit funccount stackcount trace
