#!/bin/sh
# Print the path of the newest usable Python, 3.11 to 3.14: from the PATH first, then the system's and pyenv's. One that
# was compiled without optimizations, as pyenv does unless it is told to, comes last: it takes a sixth longer for all.
usable() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

# A distribution's own is optimized whatever it says of how it was made.
optimized() {
    "$1" -c 'import sys, sysconfig; made = sysconfig.get_config_var("CONFIG_ARGS") or ""
sys.exit(sys.base_prefix != "/usr" and "--enable-optimizations" not in made)' >/dev/null 2>&1
}

candidates() {
    for minor in 14 13 12 11; do
        printf '%s\n' "python3.$minor" "/usr/bin/python3.$minor" \
            "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python3
    done
    printf '%s\n' python3 python
}

first() {
    candidates | while IFS= read -r python; do
        if usable "$python" && "$1" "$python"; then
            command -v "$python"
            break
        fi
    done
}

found=$(first optimized)
found=${found:-$(first true)}
[ -n "$found" ] && printf '%s\n' "$found"
