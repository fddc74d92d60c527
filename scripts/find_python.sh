#!/bin/sh
# Print the path of the newest usable Python, 3.11 to 3.14: from the PATH first, then from pyenv.
usable() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

for minor in 14 13 12 11; do
    for python in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python3; do
        if usable "$python"; then
            command -v "$python"
            exit 0
        fi
    done
done
for python in python3 python; do
    if usable "$python"; then
        command -v "$python"
        exit 0
    fi
done
exit 1
