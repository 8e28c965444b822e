#!/bin/sh
# dvc repro, in a fresh clone on the digits that come with scikit-learn where no source delivers MNIST, and for no other
# reason.
#
# `stages.fetch` ends with 69 for that reason alone. DVC ends with a code of its own and names the stage's on its last line.
set -u
cd "$(dirname "$0")/.." || exit
compiling=
said=$(mktemp -d) || exit
trap 'kill $compiling 2>/dev/null; rm -rf "$said"' EXIT
trap 'exit 130' INT # bash as sh would go on, as DVC ends in its own way after Ctrl-C
trap 'exit 143' TERM

# In a new environment another core compiles what `train` imports, most of all, while the first stages run.
set -- .venv/lib/python3*/site-packages/keras/__pycache__
if [ ! -e "$1" ]; then
    python -c 'import stages.train' >/dev/null 2>&1 &
    compiling=$!
fi

mkfifo "$said/stderr" || exit
tee -i "$said/log" <"$said/stderr" >&2 &
dvc repro 2>"$said/stderr"
code=$?
wait
compiling=

if [ "$code" != 0 ]; then
    if [ -e data/own/images.dvc ] && [ ! -e data/own/images ]; then # of which DVC says "missing data 'source'"
        echo 'error: data/own/images is not here: dvc pull brings the pictures that data/own/images.dvc names' >&2
    fi
    grep -q "^ERROR: failed to reproduce 'fetch': .* exited with 69\$" "$said/log" || exit "$code"
    # Who has data or a network here is not served by others in their place.
    set -- data/raw/fetched/*/dataset.json
    if [ -e "$1" ] || [ -e models/model.keras ]; then
        echo 'error: nothing was changed: what is here is not replaced by the digits that come with scikit-learn' >&2
        exit "$code"
    fi
    # Another dvc at work would find params.yaml changed under its hands.
    for pid in $(grep -oE '"pid": [0-9]+' .dvc/tmp/rwlock 2>/dev/null | tr -dc '0-9\n' | sort -u); do
        ! kill -0 "$pid" 2>/dev/null || {
            echo "error: another dvc is at work in this clone, process $pid: run make repro when it has ended" >&2
            exit 1
        }
    done
    printf '\n*** MNIST could not be fetched: running on the digits that come with scikit-learn instead. ***\n\n'
    # An experiment is a commit, and a commit needs an author; a fresh machine has none.
    git config user.email >/dev/null || export GIT_AUTHOR_NAME=nobody GIT_AUTHOR_EMAIL=nobody@localhost \
        GIT_COMMITTER_NAME=nobody GIT_COMMITTER_EMAIL=nobody@localhost
    dvc exp run -S fetch.dataset=digits || exit
fi

if git diff -U0 HEAD -- params.yaml | grep -q '^+ *dataset: digits'; then
    printf '\n*** These are results on 1,797 small digits, not on MNIST: see git diff params.yaml. ***\n'
    printf 'To go back, with a network or MNIST_MIRROR at hand: git checkout params.yaml && make repro\n'
fi
dvc plots show >"$said/page" || exit
python - "$(cat "$said/page")" <<'EOF'
import json
import subprocess
import sys
from pathlib import Path

import yaml

test = json.loads(Path("metrics/test.json").read_text())
print(f"""
test accuracy {test["accuracy"]:.2%} (95% interval {test["accuracy_low"]:.2%} to {test["accuracy_high"]:.2%})
every chart and picture: {sys.argv[1]}
next: export PATH=$PWD/.venv/bin:$PATH, then
  python -m commands.predict docs/samples            # or pictures of your own digits
  dvc exp run -n one-hidden-layer -S network=relu-128  # another network; README.md goes on""")

# Where other outputs came out than were committed, and those are in no cache here, there is no way back to them.
def outputs(lock: str) -> dict[str, str]:
    stages = (yaml.safe_load(lock) or {}).get("stages", {}).values()
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}


committed = subprocess.run(["git", "show", "HEAD:dvc.lock"], capture_output=True, text=True, check=False).stdout
others = dict(outputs(committed).items() - outputs(Path("dvc.lock").read_text()).items())
if others:  # to be asked for costs two seconds
    kept = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False).stdout.splitlines()
    cache = Path(subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=False).stdout.strip())
missing = [
    path
    for path, md5 in others.items()
    if path not in kept and not (cache / "files/md5" / md5[:2] / md5[2:]).exists()
]
if missing:
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    print(f"""
{missing[0]}{more} came out otherwise than the last commit has it, whose bytes are not here:
git checkout . && dvc checkout would not find them. To have a way back, commit what is here first:
  git commit -am 'As it comes out here'""")
EOF
