# Completion for fish. The tools are asked, since only they know the probes.
function __probekit_complete
    set -l word (commandline --current-token --cut-at-cursor)
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    # What is run behind -- has its own completion.
    if set -l at (contains --index -- -- $words)
        set --erase words[1..$at]
        set -l line
        for before in $words
            set --append line (string escape -- $before)
        end
        complete --do-complete (string join ' ' -- $line "$word")
        return
    end
    # The quote that a word may begin with is not the tools'.
    set -l found (@PROBEKIT@ complete -- $words (string trim --left --chars \'\" -- "$word") 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path $word
    end
end
for tool in probekit funccount stackcount trace
    complete --command $tool --no-files --arguments '(__probekit_complete)'
end
