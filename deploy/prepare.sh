#!/bin/sh
# What `make` needs before anything of ours can run: `prepare.sh venv` and `prepare.sh tools`.
# Each thing that is missing gives one line that says what to do.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "heliograph: $*" >&2
    exit 1
}

install_debian() { # packages: installed where we may, otherwise named
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "heliograph: installing $*"
        log=$(mktemp)
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1 || { tail -5 "$log" >&2; return 1; }
    else
        return 1
    fi
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

venv() {
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11, 3.12 or 3.13 is needed, and python3 is $(python3 --version 2>&1 || echo missing). Install one, or name it: make run PYTHON=/path/to/python3.12"
    command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
        install_debian gcc libc6-dev || fail "a C compiler is needed: install gcc or clang (Debian: apt-get install gcc libc6-dev)"
    "$python" -c 'import sysconfig, os, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        install_debian python3-dev || fail "Python's C headers are needed (Debian: apt-get install python3-dev)"
    [ -x .venv/bin/python ] || "$python" -m venv .venv 2>/dev/null || { rm -rf .venv; install_debian python3-venv && "$python" -m venv .venv; } ||
        fail "python -m venv does not work (Debian: apt-get install python3-venv)"
    echo "heliograph: installing the locked Python packages into .venv"
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock ||
        fail "the Python packages could not be installed: see the lines above (is the package index reachable?)"
}

tools() { # what only the tests use
    command -v chromium >/dev/null || install_debian chromium fonts-dejavu-core ||
        fail "the browser tests need Chromium (Debian: apt-get install chromium fonts-dejavu-core)"
    command -v tshark >/dev/null || install_debian tshark ||
        fail "the protocol tests need tshark (Debian: apt-get install tshark)"
}

case "${1:-}" in
venv | tools) "$1" ;;
*) fail "usage: prepare.sh venv | tools" ;;
esac
