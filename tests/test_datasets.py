"""Other data than MNIST, through the whole pipeline: a hand's pictures joined to it, 47 symbols, colored shapes."""

import gzip
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont

from digits.data.idx import header
from digits.foundation.yaml import parse_yaml
from tests.conftest import ONE_EPOCH, ROOT, Repository, stages_run
from tests.hand import write_hand
from tests.test_declarations import STAGES, STAND_IN, complaints_about_run

SYMBOLS = [f"the symbol {letter!r}" if number % 5 else letter for number, letter in enumerate(
    "abcdefghijklmnopqrstuvwxyzABDEFGHNQRTYJKLMPSUVWXZ"[:47]
)]  # fmt: skip


def metrics(repository: Repository, name: str) -> dict:
    return json.loads((repository.path / f"metrics/{name}.json").read_text())


def locked(repository: Repository) -> dict:
    """What dvc.lock says of each stage."""
    return parse_yaml((repository.path / "dvc.lock").read_bytes(), Path("dvc.lock"))["stages"]


def quick(repository: Repository) -> None:
    """Let the repository's network be a small one."""
    repository.replace("params.yaml", "network: convnet", "network: mlp")


def patient(repository: Repository) -> None:
    """Let the convnet take as many steps on few images."""
    old, _, rest = ONE_EPOCH[0].partition("\n")
    repository.replace("params.yaml", ONE_EPOCH[0], f"{old.replace('5', '30')}\n{rest.replace('108', '16')}")


@pytest.fixture(scope="module")
def joined(fresh: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The story of README: a hand's pictures, joined to the embedded digits, committed. Not to be changed."""
    repository = fresh.copy(tmp_path_factory.mktemp("joined") / "repository")
    quick(repository)
    repository.replace("params.yaml", "  mnist-and-own:\n    kind: join\n    of:\n    - mnist\n", JOIN)
    repository.replace("params.yaml", "dataset: mnist ", "dataset: digits-and-own ")
    write_hand(repository.path / "data/own/images", 12)
    repository.dvc("add", "data/own/images")
    repository.dvc("repro")
    repository.commit("Twelve of each digit")
    return repository


JOIN = "  digits-and-own:\n    kind: join\n    of:\n    - digits\n"


@pytest.mark.torture
def test_a_person_teaches_it_their_hand(joined: Repository, tmp_path: Path):
    repository = joined.copy(tmp_path / "repository")
    before = metrics(repository, "data")["sources"]["own"]
    assert before["train"] + before["validation"] + before["test"] == 120
    names = set((repository.path / "metrics/test_images.csv").read_text().split())

    write_hand(repository.path / "data/own/images", 5, first=12)  # next week
    printed = repository.dvc("repro")
    assert {*stages_run(printed)} == {"gather", "prepare", "train", "evaluate", "plot", "page"}
    after = metrics(repository, "data")["sources"]["own"]
    assert after["train"] + after["validation"] + after["test"] == 170
    assert names < set((repository.path / "metrics/test_images.csv").read_text().split()), "the test set only grew"
    changed = repository.dvc("metrics", "diff")
    assert "sources.own.accuracy" in changed
    assert "data/own/images" in repository.dvc("diff")
    said = repository.run("python", "-m", "commands.compare", "HEAD", "workspace")
    assert f"test images {360 + before['test']} are in both, and these alone are counted" in said
    assert "own: " in said
    repository.commit("Five more of each")

    repository.run("git", "checkout", "--quiet", "HEAD~1")
    repository.dvc("checkout")
    assert stages_run(repository.dvc("repro")) == [], "yesterday's network is there without training"
    assert repository.run("git", "status", "--short") == ""

    repository.run("git", "checkout", "--quiet", "main")
    repository.dvc("checkout")
    repository.dvc("remote", "add", "--default", "shelf", str(tmp_path / "shelf"))
    repository.commit("Keep data and models on the shelf")
    repository.dvc("push")
    repository.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone", repository.home)
    clone.dvc("pull")
    assert stages_run(clone.dvc("repro")) == []
    assert len(list((clone.path / "data/own/images").rglob("*.png"))) == 170


@pytest.mark.torture
def test_files_made_in_another_order_at_another_time_give_the_same_lock(joined: Repository, tmp_path: Path):
    repository = joined.copy(tmp_path / "elsewhere")
    images = repository.path / "data/own/images"
    kept = {path.relative_to(images): path.read_bytes() for path in images.rglob("*.png")}
    shutil.rmtree(images)
    before = os.umask(0o077)
    try:
        for number, (name, content) in enumerate(sorted(kept.items(), reverse=True)):
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            (images / name).write_bytes(content)
            os.utime(images / name, (10**9 + number, 10**9 + number))
    finally:
        os.umask(before)
    repository.dvc("add", "data/own/images")
    repository.dvc("repro", "--force")
    assert repository.run("git", "status", "--short") == ""


@pytest.mark.torture
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_and_writes_what_it_declares_of_ones_own_images_too(
    joined: Repository, tmp_path: Path, stage: str
):
    repository = joined.copy(tmp_path / "repository")
    audit = ("-B", str(ROOT / "tests/audit.py"))
    repository.run("python", *audit, stage, str(tmp_path / "report.json"))
    assert complaints_about_run(repository.path, stage, tmp_path / "report.json", unread=STAND_IN) == []


@pytest.mark.torture
def test_files_of_other_names_change_the_names_alone(joined: Repository, tmp_path: Path):
    repository = joined.copy(tmp_path / "repository")
    for path in list((repository.path / "data/own/images").rglob("*.png")):
        path.rename(path.with_name(f"mine, {path.name}"))
    assert {*stages_run(repository.dvc("repro"))} == {"gather", "prepare", "evaluate", "plot", "page"}
    changed = repository.run("git", "diff", "--name-only").split()
    assert changed == ["data/own/images.dvc", "dvc.lock", "metrics/test_images.csv", "plots/predictions.csv"]
    before = pd.read_csv(joined.path / "plots/predictions.csv", keep_default_na=False)
    after = pd.read_csv(repository.path / "plots/predictions.csv", keep_default_na=False)
    own = before["file"] != ""
    assert own.sum() == metrics(repository, "data")["sources"]["own"]["test"]
    assert (after.loc[own, "file"] == before.loc[own, "file"].str.replace("/", "/mine, ")).all()
    assert after.drop(columns="file").equals(before.drop(columns="file"))


@pytest.mark.torture
def test_data_to_test_on_alone_are_not_trained_on(joined: Repository, tmp_path: Path):
    repository = joined.copy(tmp_path / "repository")
    repository.replace("params.yaml", "      own: 10\n", "      own: 0\n")
    assert {*stages_run(repository.dvc("repro", "evaluate"))} == {"fetch", "gather", "prepare", "train", "evaluate"}
    assert metrics(repository, "data")["sources"]["own"]["repeat"] == 0
    assert metrics(repository, "data")["sources"]["own"]["validation"] == 0
    assert metrics(repository, "data")["train"] == metrics(repository, "data")["sources"]["digits"]["train"]
    assert "own" in metrics(repository, "test")["sources"]


@pytest.mark.slow
def test_an_entry_that_is_not_chosen_reruns_no_more_than_what_reads_datasets(repository: Repository):
    repository.replace("params.yaml", "    unreadable: refuse", "    unreadable: skip")
    assert {*stages_run(repository.dvc("repro"))} == {"fetch", "gather", "prepare"}


@pytest.mark.slow
def test_a_kept_drawing_is_nobodys_business_but_of_what_holds_it(repository: Repository):
    """Of a clone with everything there, on another dataset, offline."""
    before, network = locked(repository), (repository.path / "models/model.keras").read_bytes()
    write_hand(repository.path / "data/own/images", 1)
    printed = repository.run("sh", "make/repro.sh")
    assert {*stages_run(printed)} == {"gather"}
    assert "digits takes nothing from data/own: there is nothing to gather" in printed
    assert (repository.path / "models/model.keras").read_bytes() == network
    assert repository.run("git", "diff", "--stat", "--", "metrics", "plots", "params.yaml") == ""
    after = locked(repository)
    assert before.pop("gather")["outs"] == after.pop("gather")["outs"]
    assert after == before


@pytest.mark.slow
def test_with_images_of_ones_own_nobody_is_asked(repository: Repository):
    write_hand(repository.path / "data/own/images", 3)
    repository.replace("params.yaml", "dataset: digits", "dataset: own")
    repository.replace("params.yaml", "    test: 0.2", "    test: 0.4")
    printed = repository.dvc("repro", "prepare")
    assert {*stages_run(printed)} == {"fetch", "gather", "prepare"}
    assert "own is a person's own: there is nothing to fetch" in printed
    assert metrics(repository, "data")["leakage"] == 0
    assert (repository.path / "data/raw/fetched/datasets.json").read_text() == '{\n  "datasets": []\n}\n'


@pytest.mark.slow
def test_bad_pictures_end_gather_before_anything_is_written(repository: Repository):
    write_hand(repository.path / "data/own/images", 3)
    (repository.path / "data/own/images/3/bad.png").write_text("hello")
    repository.replace("params.yaml", "dataset: digits", "dataset: own")
    said = repository.dvc("repro", fails=True)
    assert "error: data/own/images cannot be taken as it is:\n  data/own/images/3/bad.png: is no PNG, JPEG," in said
    assert not [*(repository.path / "data/raw/gathered").rglob("*")]


@pytest.mark.slow
def test_in_a_fresh_clone_images_of_ones_own_are_asked_for(repository: Repository):
    repository.replace("params.yaml", "dataset: digits", "dataset: own")
    said = repository.dvc("repro", fails=True)
    assert "error: data/own/images holds no images: put some into data/own/images/CLASS/" in said


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server of the folder's files on this machine."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def typeset(letter: str, generator: np.random.Generator) -> np.ndarray:
    """A letter somewhere on 20 x 36 pixels, white on black."""
    image = Image.new("L", (36, 20))
    place = generator.uniform((2, -2), (18, 4))
    ImageDraw.Draw(image).text(tuple(place), letter, fill=255, font=ImageFont.load_default(generator.uniform(14, 18)))
    return np.asarray(image)


@pytest.mark.torture
def test_47_symbols_of_20_x_36_pixels_come_from_a_server(fresh: Repository, tmp_path: Path):
    repository = fresh.copy(tmp_path / "repository")
    generator = np.random.default_rng(0)
    entry = "datasets:\n  symbols:\n    kind: idx\n    mirrors:\n    - {}\n    files:\n"
    sha256 = []
    (tmp_path / "served").mkdir()
    for count, names in ((20, ("a-images", "a-labels")), (4, ("b-images", "b-labels"))):
        labels = np.tile(np.arange(47, dtype=np.uint8), count)
        images = np.stack([typeset(SYMBOLS[label].strip("'")[-1], generator) for label in labels])
        for name, array in zip(names, (images, labels), strict=True):
            served = gzip.compress(header(array.shape, array.dtype) + array.tobytes())
            (tmp_path / "served" / f"{name}.gz").write_bytes(served)
            sha256.append(hashlib.sha256(served).hexdigest())
            entry += f"    - {name}.gz\n"
    entry += "    sha256:\n" + "".join(f"    - {digest}\n" for digest in sha256)
    entry += "    classes:\n" + "".join(f"    - {json.dumps(name)}\n" for name in SYMBOLS)
    entry += "    height: 20\n    width: 36\n    train: 940\n    test: 188\n    framing: whole\n\n"
    with serving(tmp_path / "served") as url:
        repository.replace("params.yaml", "datasets:\n", entry.format(url))
        repository.replace("params.yaml", "dataset: mnist ", "dataset: symbols ")
        patient(repository)
        repository.dvc("repro")
    assert metrics(repository, "test")["accuracy"] > 0.5, "by chance it is 0.02"
    assert "the symbol" in (repository.path / "plots/classes.csv").read_text()
    Image.fromarray(255 - images[1]).save(repository.path / "b.png")
    said = repository.run("python", "-m", "commands.predict", "b.png", "--show", "seen.png")
    assert said.startswith("b.png: ")
    if "LOOK" in os.environ:
        shutil.copytree(repository.path / "plots/images", Path(os.environ["LOOK"]) / "symbols", dirs_exist_ok=True)
        shutil.copy(repository.path / "seen.png", Path(os.environ["LOOK"]) / "symbols-seen.png")
        repository.dvc("plots", "show", "--out", str(Path(os.environ["LOOK"]) / "symbols-page"))


@pytest.mark.slow
def test_colored_pictures_of_three_classes_are_learned_as_the_readme_says(fresh: Repository, tmp_path: Path):
    repository = fresh.copy(tmp_path / "repository")
    generator = np.random.default_rng(0)
    for number in range(240):
        name = ["apple, red", "lime", "a plum that has a long name indeed"][number % 3]
        color = [(200, 30, 30), (60, 190, 60), (120, 40, 140)][number % 3]
        image = Image.new("RGB", (90, 60), tuple(generator.integers(180, 256, 3).tolist()))
        x, y, size = generator.uniform((20, 20, 10), (60, 40, 18))
        ImageDraw.Draw(image).ellipse((x - size, y - size, x + size, y + size), color)
        path = tmp_path / "my-things" / name / f"of {number % 24}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    repository.replace("params.yaml", "epochs: 15\n    least_steps: 1000", "epochs: 8\n    least_steps: 45")
    repository.commit("Less to wait for")
    chapter = (ROOT / "README.md").read_text().partition("## Teach it photographs")[2]
    add, learn, ask, by_hand = re.findall(r"^```sh\n(.*?)^```$", chapter, re.M | re.DOTALL)[0].splitlines()
    for command in (add, learn):
        repository.run("bash", "-c", f"PATH='{repository.warm_environment['PATH']}'; {command}")
    assert metrics(repository, "test")["accuracy"] > 0.9
    images = np.load(repository.path / "data/prepared/test_images.npy", mmap_mode="r")
    assert images.shape[1:] == (64, 64, 3)
    assert metrics(repository, "train")["network"] == "few-pictures"
    assert "of 240 right by" in repository.run("bash", "-c", ask)
    lime = next((repository.path / "data/own/images/lime").rglob("*.jpg"))
    said = repository.run("python", "-m", "commands.predict", str(lime), "--show", "seen.png")
    assert ": lime (" in said
    assert "lime" in repository.run("python", "-m", "commands.compare", "HEAD", "--show", "differ.png")
    few_steps = "-S networks.few-pictures.epochs=1 -S networks.few-pictures.least_steps=1 evaluate"
    by_hand = f"{by_hand.partition('#')[0]} {few_steps}"
    repository.run("bash", "-c", f"PATH='{repository.warm_environment['PATH']}'; {by_hand}")
    assert sum(metrics(repository, "data")["groups"].values()) == 24
    if "LOOK" in os.environ:
        shutil.copytree(repository.path / "plots/images", Path(os.environ["LOOK"]) / "fruit", dirs_exist_ok=True)
        shutil.copy(repository.path / "seen.png", Path(os.environ["LOOK"]) / "fruit-seen.png")
        repository.dvc("plots", "show", "--out", str(Path(os.environ["LOOK"]) / "fruit-page"))


def test_a_server_that_is_gone_is_named_with_what_to_do(repository: Repository):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    repository.replace("params.yaml", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/", f"http://127.0.0.1:{port}/")
    repository.replace("params.yaml", "dataset: digits", "dataset: kmnist")
    said = repository.dvc("repro", fails=True)
    assert "error: no source delivers kmnist:" in said
    assert "Point KMNIST_MIRROR to a folder or a URL with the four .gz files" in said
