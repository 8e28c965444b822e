#!/bin/sh
# Install what a requirements file pins into .venv: sh make/install.sh requirements.txt
#
# uv does it: the one on PATH, else the one that requirements-uv.txt pins, which pip puts into .uv. Where uv cannot, pip
# does. Either checks the hash of all that it installs, and of the setuptools that build what comes as source only.
set -u
requirements=$1
cd "$(dirname "$0")/.." || exit
PATH=${PATH#"$(pwd -P)/.venv/bin:"} # an environment is not made from itself
export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 # trust whom the system trusts, as pip does; the second is for uv before 0.11
said=$(mktemp) || exit
trap 'rm -f "$said"' EXIT
trap 'exit 130' INT # nothing else is tried in the place of what was interrupted
trap 'exit 143' TERM

refuse() {
    echo "error: $*" >&2
    exit 1
}

# Show a command and run it; what it says is kept for `reason`.
run() {
    echo "$*"
    "$@" >"$said" 2>&1
}

# Why the last command failed, in a line: the cause that uv or pip named last.
reason() {
    awk '/^ *$/ && why { exit }
        /^ *(cause:|[Ee]rror:|ERROR:|×|├─▶|╰─▶)/ { why = "" }
        { why = why " " $0 }
        END { print why ? why : "it said nothing" }' "$said" | sed -E 's/^ *(cause:|[Ee]rror:|ERROR:|×|├─▶|╰─▶)? *//; s/  +/ /g'
}

# A package whose hash is another than the file's is the end: nobody else is asked for it.
refuse_other_hash() {
    package=$(sed -nE -e 's/.*Hash mismatch for `([^`]*)`.*/\1/p' \
        -e '/DO NOT MATCH THE HASHES/,$ s/^ {4}([^ :]+) from .*/\1/p' "$said" | head -n 1)
    [ -z "$package" ] || refuse "$1 has another hash for $package than what was delivered: nothing was installed"
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

# .venv, by the first Python here that fits and can make one.
make_environment() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || refuse "PYTHON is $PYTHON, expected Python 3.11, 3.12 or 3.13"
        set -- "$PYTHON"
    else
        set -- python3 python3.13 python3.12 python3.11
    fi
    for python; do
        fits "$python" && run "$python" -m venv --without-pip .venv && return
    done
    rm -rf .venv
}

# uv, into .uv, by the first pip that there is, of whatever Python: its own, or else that of an environment.
bring_uv() {
    rm -rf .uv
    set -- --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-uv.txt
    run python3 -m pip install --target .uv "$@" || {
        refuse_other_hash requirements-uv.txt
        rm -rf .uv
        python=.venv/bin/python # where it is, there may be no other
        [ -e "$python" ] || python=python3
        run "$python" -m venv .uv && run .uv/bin/python -m pip install "$@"
    } || return
    cp requirements-uv.txt .uv
}

# What an installation that did not end has left out cannot be seen.
if ! { [ -e .venv/installed ] && fits .venv/bin/python; }; then
    [ ! -e .venv ] || echo ".venv is made anew: its installation did not end, or its Python is not 3.11 to 3.13"
    rm -rf .venv
    make_environment
fi

uv=uv
if ! uv pip install --help 2>/dev/null | grep -q -e --build-constraint; then
    uv=.uv/bin/uv
    cmp -s requirements-uv.txt .uv/requirements-uv.txt || bring_uv || {
        refuse_other_hash requirements-uv.txt
        uv=
    }
fi

if [ "$uv" ]; then
    cache=$("$uv" cache dir 2>/dev/null)/$$
    if mkdir -p "$cache" 2>/dev/null; then
        rmdir "$cache"
    else # a home that cannot be written to
        export UV_CACHE_DIR="$PWD/.uv/cache" UV_PYTHON_INSTALL_DIR="$PWD/.uv/python"
    fi
    if [ ! -e .venv ]; then
        run "$uv" venv --quiet --python "${PYTHON:->=3.11,<3.14}" .venv ||
            refuse "no Python 3.11, 3.12 or 3.13 is here, and uv, which downloads one, failed: $(reason)"
    fi
    rm -f .venv/installed .venv/installed-dev
    # Python compiles what it imports when it first does, half of all that there is, unless it is told to keep nothing.
    run "$uv" pip install --quiet ${KEEPS_NOTHING:+--compile-bytecode} --python .venv/bin/python \
        --require-hashes -r "$requirements" --build-constraint "$requirements" && exit
    refuse_other_hash "$requirements"
fi

why=$(reason)
[ -e .venv/bin/pip ] || { [ -e .venv ] && run .venv/bin/python -m ensurepip --default-pip; } ||
    refuse "needs uv, or Python 3.11, 3.12 or 3.13 with venv and pip (python3-venv on Debian): $(reason)"
echo "uv cannot install here ($why): pip does, which takes longer"
rm -f .venv/installed .venv/installed-dev
set -- .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes
sed -n '/^setuptools==/,/[^\\]$/p' "$requirements" >.venv/setuptools.txt
run "$@" -r .venv/setuptools.txt && run "$@" --no-build-isolation -r "$requirements" && exit
refuse_other_hash "$requirements"
refuse "$requirements could not be installed: $(reason)"
