"""Features in pairs: each of README's and docs' meets each other at least once, drawn at random, on tiny data.

What is asked of every meeting: no traceback, no silence, no process that is left, and a result or a sentence that a
second run repeats. PAIRS_MINUTES (30) says how long to go on, PAIRS_SEED which draw to see again.
"""

import itertools
import os
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from tests.commands.serving import serving
from tests.conftest import Repository
from tests.hand import write_hand
from tests.sweeps import write_sweep
from tests.test_datasets import JOIN
from tests.torture.features import EACH, FEATURES, Case, correct, perhaps_refused, pictures, refused, settings
from tests.torture.tried import HANG, FellOut, Tried, left, sentences

pytest.importorskip("uvicorn", reason="needs the drawing page's packages: make .venv/installed-draw")
pytest.importorskip("ray", reason="needs what searches need: make sweep-installed")

MINUTES = float(os.environ.get("PAIRS_MINUTES", "30"))
SEED = int(os.environ.get("PAIRS_SEED", time.time_ns() % 10**6))
Pair = tuple[tuple[str, str], ...]
AS_USUAL = {"PYTHONUNBUFFERED": ""}  # what is printed then is not read sooner than elsewhere
AWAY = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


def pairs_of(case: Case) -> set[Pair]:
    """The pairs of features that meet in a case."""
    return set(itertools.combinations(case.items(), 2))


def drawn(chance: random.Random, refusals: bool) -> Case:
    """A case with results, or one without."""
    while True:
        case = {name: chance.choice(levels) for name, levels in FEATURES.items()}
        if bool(refused(case)) == refusals:
            return case


def cases(chance: random.Random, met: set[Pair]) -> Iterator[Case]:
    """Cases without end, each that with most new pairs of many drawn at random; each sixth one is to be refused."""
    for number in itertools.count():
        if number % 6 == 5:
            yield drawn(chance, refusals=True)
        else:
            yield max((drawn(chance, refusals=False) for _ in range(400)), key=lambda one: len(pairs_of(one) - met))


def run_pipeline(case: Case, tried: Tried) -> tuple[int, str]:
    """Run the pipeline as the case wants it, until its results are in the workspace."""
    options = [word for setting in settings(case) for word in ("-S", setting)]
    if case["run"] == "repro":
        apply_overrides(str(tried.repository.path / "params.yaml"), settings(case))
        return tried.run("dvc", "repro")
    if case["run"] in {"exp run", "apply"}:
        code, printed = tried.run("dvc", "exp", "run", "-n", "it", *options)
        if code or case["run"] == "exp run":
            return code, printed
        tried.must("git", "checkout", "--quiet", ".")
        tried.must("git", "clean", "-fdq")
    elif case["run"] == "temp":
        code, printed = tried.run("dvc", "exp", "run", "--temp", "-n", "it", *options)
        if code:
            return code, printed
    else:
        tried.must("dvc", "exp", "run", "--queue", "-n", "it", *options)
        tried.must("sh", "-c", "dvc queue start >/dev/null 2>&1")
        end = time.monotonic() + HANG / 2
        while re.search("Running|Queued", status := tried.must("dvc", "queue", "status")):
            if time.monotonic() > end:
                raise FellOut(f"the queue does not end:\n{status}")
            time.sleep(1)
        tried.must("dvc", "queue", "stop", "--kill")
        if "Failed" in status:
            return 1, tried.run("dvc", "queue", "logs", "it")[1]
    return tried.run("dvc", "exp", "apply", "it")


def results(repository: Repository) -> dict[str, bytes]:
    """What Git keeps of a run."""
    folder = repository.path
    files = [folder / "dvc.lock", *(folder / "metrics").iterdir(), *(folder / "plots").glob("*.*")]
    return {str(file): file.read_bytes() for file in files}


def then(case: Case, tried: Tried, images: Path) -> list[str]:
    """Do what people do with the results; gives what is said where it cannot be done."""
    said: list[str] = []
    repository = tried.repository

    def run(*command: str) -> int:
        code, printed = tried.run(*command)
        said.extend(sentences(printed))
        return code

    a_picture = str(next(path for path in sorted(images.rglob("*")) if path.is_file() and path.name != "broken.png"))
    match case["then"].split():
        case ["predict"]:
            run("python", "-m", "commands.predict", str(images))
        case ["predict", "--json"]:
            run("sh", "-c", f"python -m commands.predict --json - < '{a_picture}'")
        case ["predict", "--show"]:
            run("python", "-m", "commands.predict", "--show", "seen.png", str(images), a_picture)
        case ["compare"]:
            run("python", "-m", "commands.compare", "HEAD", "workspace", "--show", "differences.png")
            run("python", "-m", "commands.compare", "--json", "HEAD", "workspace", "HEAD~1")
        case ["review"]:
            run("python", "-m", "commands.review", "--csv", "doubtful.csv", "--show", "doubtful.png")
        case ["export", form]:
            run("python", "-m", "commands.export", form)
        case ["plots"]:
            tried.must("dvc", "plots", "show")
            tried.must("dvc", "plots", "diff", "HEAD~1")
            tried.must("dvc", "metrics", "diff", "HEAD~1")
        case ["sweep", kind]:
            search = {"search": "tpe" if kind == "tpe" else "grid", "trials": 2 if kind == "tpe" else None}
            early = {"stop": "asha"} if kind == "asha" else {}
            space = {f"networks.{case['network']}.epochs": [1, 2, 3] if kind == "tpe" else [1, 2]}
            file = write_sweep(repository, space=space, seeds=[1], **search, **early)
            repository.commit("A sweep")
            if not run("python", "-m", "commands.sweep", file):
                ranking = repository.path / "sweeps/tried/ranking.csv"
                before = ranking.read_bytes()
                tried.must("python", "-m", "commands.sweep", file, "--resume")
                if ranking.read_bytes() != before:
                    raise FellOut(f"resumed, the sweep ranks otherwise:\n{before.decode()}\n{ranking.read_text()}")
        case ["draw"]:
            with serving(repository) as server:
                kind = {"Content-Type": f"image/{case['format'].lower()}"}
                content = Path(a_picture).read_bytes()
                known = server.ask("GET", "/health").json["classes"][0]
                answers = [server.ask("POST", "/predict", content, kind) for _ in range(2)]
                kept = server.ask("POST", f"/keep?class={known}", content, kind)
                shown = server.ask("GET", "/kept")
                if kept.status == 201:
                    address = f"/kept/{known}/{kept.json['name']}"
                    answers += [server.ask("GET", address), server.ask("DELETE", address)]
                statuses = [answer.status for answer in [*answers, kept, shown]]
                more = "".join(server.printed[1:])
            said += [str(answer.json["error"]) for answer in (answers[0], kept) if "error" in answer.json]
            if max(statuses) >= 500 or 404 in statuses or more or answers[0].body != answers[1].body:
                raise FellOut(f"the page: {statuses} {kept.body!r} {more}")
    return said


def try_it(case: Case, tried: Tried, hand: Path) -> str:
    """Try a case; gives how it came out, in a few words."""
    repository = tried.repository
    images = repository.path / "data/own/images"
    tried.must("dvc", "config", "cache.type", case["cache"])
    repository.replace("params.yaml", "  mnist-and-own:\n    kind: join\n    of:\n    - mnist\n", JOIN)
    pictures(case, hand, images)
    tried.must("dvc", "add", "data/own/images")
    repository.commit("My pictures")
    code, printed = run_pipeline(case, tried)
    if code:
        return comes_again(case, lambda: run_pipeline(case, tried), printed)
    repository.commit("Its results")
    if case["corrections"] != "none":
        correct(case, repository.path)
        code, printed = tried.run("dvc", "repro")
        if code:
            return comes_again(case, lambda: tried.run("dvc", "repro"), printed)
    if refused(case):
        raise FellOut(f"not refused: {refused(case)}")
    before = results(repository)
    tried.must("dvc", "repro", "--force", "evaluate")
    if after := [name for name, content in results(repository).items() if before.get(name) != content]:
        raise FellOut(f"a second run gives other {after}")
    return f"done: {then(case, tried, images)}"


def comes_again(case: Case, run: Callable[[], tuple[int, str]], printed: str) -> str:
    """The sentence of a refusal, which was to be expected and has to come again."""
    code, second = run()
    if not code or sentences(second) != sentences(printed):
        raise FellOut(f"refused, then otherwise:\n{printed[-3000:]}\n--- then ---\n{second[-3000:]}")
    if not refused(case) and not perhaps_refused(case):
        raise FellOut(f"refused, for which there is no reason:\n{printed[-3000:]}")
    return "refused: " + " / ".join(sentences(printed))[:300]


def test_every_pair_of_features_comes_to_a_result_or_a_sentence_that_comes_again(
    fresh: Repository, tmp_path: Path, record_property: Callable[[str, object], None]
):
    chance, fallen, end = random.Random(SEED), [], time.monotonic() + 60 * MINUTES
    there = set().union(*(pairs_of(drawn(chance, refusals=False)) for _ in range(20_000)))
    met: set[Pair] = set()
    tally: Counter[str] = Counter()
    write_hand(tmp_path / "hand", EACH)
    for number, case in enumerate(cases(chance, met)):
        if time.monotonic() > end or met >= there:
            break
        path = tmp_path / ("plain" if case["folder"] == "plain" else "über all") / f"{number}"
        tried = Tried(fresh.copy(path))
        tried.repository.environment |= AS_USUAL | (AWAY if case["network is"] == "away" else {})
        try:
            outcome = try_it(case, tried, tmp_path / "hand")
            if processes := left(tried.repository):
                raise FellOut(f"left behind: {processes}")
        except (FellOut, AssertionError) as error:
            outcome = f"fell out: {error}"
            fallen.append(f"{case}\n{error}")
        tally[outcome.partition(":")[0]] += 1
        met |= set() if refused(case) else pairs_of(case)
        print(f"{number} {len(met):,} of {len(there):,} pairs; {outcome}\n    {', '.join(case.values())}", flush=True)
        shutil.rmtree(path)
    record_property("pairs met", f"{len(met):,} of {len(there):,} in {dict(tally)} (PAIRS_SEED={SEED})")
    assert not fallen, "\n\n".join(fallen)
