#!/bin/sh
# setup.sh PYTHON VENV: make the virtual environment and install the pinned packages and coop itself into it.
set -eu
python=$1
venv=$2

if [ -z "$python" ]; then
    echo "coop needs Python 3.11 to 3.14 with its venv module (Debian, Ubuntu: apt install python3 python3-venv)" >&2
    exit 1
fi
if ! "$venv/bin/python" -c '' >/dev/null 2>&1; then
    echo "Making $venv with $("$python" --version) ($python)" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

echo "Installing the packages of requirements-dev.txt and coop" >&2
if command -v uv >/dev/null 2>&1; then
    install="uv pip install --quiet --python $venv/bin/python"
else
    install="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
fi
$install --require-hashes -r requirements-dev.txt
# Without isolation, so that the build uses the pinned setuptools and downloads nothing.
$install --no-deps --no-build-isolation --editable .
