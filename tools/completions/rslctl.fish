# SPDX-License-Identifier: BSD-3-Clause
# Completion of rslctl for fish: /usr/share/fish/vendor_completions.d/rslctl.fish

function __rslctl
    set -lx _RSLCTL_COMPLETE complete_fish
    set -lx _TYPER_COMPLETE_ARGS (commandline -cp)
    set -lx _TYPER_COMPLETE_FISH_ACTION $argv[1]
    rslctl 2>/dev/null
end
# What is none of its own words may be a file.
complete --command rslctl --no-files --condition '__rslctl is-args' --arguments '(__rslctl get-args)'
