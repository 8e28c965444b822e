"""Images of one's own: what is gathered from folders, and what is said of what cannot be."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from digits.data.identity import of_picture
from digits.data.raw import Loaded
from digits.foundation.command import Refusal
from digits.foundation.parameters import Folder
from digits.pictures import framing, reading
from digits.pictures.decoding import decode, flattened
from digits.pictures.folder import gather, tell
from digits.pictures.framing import prepare
from digits.pictures.layout import Problems, listed, name_of, scan
from tests.conftest import ROOT

WHOLE = Folder(kind="folder", framing="whole", side=28)


def drawing(seed: int, size: tuple[int, int] = (28, 28)) -> Image.Image:
    """A grey picture that no other seed gives."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, size[::-1], np.uint8))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 20 pictures of each of three classes."""
    for number in range(60):
        path = tmp_path / "images" / ["cat", "dog", "long-eared owl"][number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing(number).save(path)
    return tmp_path / "images"


def gathered(folder: Path, wanted: Folder = WHOLE) -> Loaded:
    return gather(folder, wanted)


def content(loaded: Loaded) -> list[tuple[bytes, str, bool]]:
    """Every image with its class and its side."""
    pixels = loaded.images[np.arange(loaded.images.shape[0])]
    names = [loaded.task.classes[label] for label in loaded.labels]
    return list(zip((image.tobytes() for image in pixels), names, loaded.in_test.tolist(), strict=True))


def test_an_image_of_the_networks_size_comes_pixel_for_pixel(images: Path):
    found = gathered(images)
    assert found.task.classes == ["cat", "dog", "long-eared owl"]
    assert found.images.shape == (60, 28, 28, 1)
    expected = {drawing(number).tobytes(): ["cat", "dog", "long-eared owl"][number % 3] for number in range(60)}
    assert {pixels: name for pixels, name, _ in content(found)} == expected
    assert 2 < found.in_test.sum() < 25


def test_names_dates_order_and_folders_within_leave_no_trace(images: Path, tmp_path: Path):
    before = content(gathered(images))
    other = tmp_path / "other"
    for number, path in enumerate(sorted(images.rglob("*.png"), key=lambda path: -int(path.stem))):
        target = other / path.parent.name / f"deep/er/{number:03}.PNG"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        os.utime(target, (number, number))
    assert content(gathered(other)) == before


def test_an_image_has_the_name_of_the_file_that_shows_it(images: Path):
    found = gathered(images)
    for file, pixels in zip(found.files["file"], found.images[np.arange(60)], strict=True):
        assert drawing(int(Path(file).stem)).tobytes() == pixels.tobytes()


def test_a_growing_folder_moves_no_image(images: Path):
    before = content(gathered(images))
    for number in range(60, 90):
        drawing(number).save(images / "cat" / f"new {number}.png")
    grown = content(gathered(images))
    assert set(before) < set(grown)
    assert [image for image in grown if image in before] == before
    for path in sorted(images.rglob("*.png"))[::3]:
        path.unlink()
    assert set(content(gathered(images))) < set(grown)


def test_a_larger_share_keeps_what_was_for_testing(images: Path):
    few, many = (content(gathered(images, WHOLE.model_copy(update={"test": share}))) for share in (0.1, 0.5))
    assert {image for image in few if image[2]} < {image for image in many if image[2]}


@pytest.mark.slow
def test_in_many_processes_it_is_the_same(images: Path, monkeypatch: pytest.MonkeyPatch):
    alone = content(gathered(images))
    monkeypatch.setattr(reading, "AHEAD", 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(5))
    assert content(gathered(images)) == alone


def test_the_same_picture_counts_once_however_it_was_saved(images: Path, capsys: pytest.CaptureFixture[str]):
    picture = drawing(0)
    picture.save(images / "cat/again.bmp")
    picture.convert("RGB").save(images / "cat/in color.webp", lossless=True)
    picture.convert("RGBA").save(images / "cat/transparent.png")
    turned = Image.Exif()
    turned[274] = 6  # the camera was held upright
    picture.transpose(Image.Transpose.ROTATE_90).save(images / "cat/turned.tiff", exif=turned)
    found = gathered(images)
    assert (found.images.shape[0], found.duplicates) == (60, 4)
    assert "cat/again.bmp shows the same picture as" in capsys.readouterr().out
    assert found.files[found.files["more"] > 0].to_numpy().tolist() == [["cat/0.png", 4]]
    assert sorted(found.files["file"]) == sorted(str(path.relative_to(images)) for path in images.rglob("[0-9]*.png"))


@pytest.mark.torture
def test_of_a_picture_saved_in_two_formats_the_same_image_stays_whatever_they_are_called(tmp_path: Path):
    framed = Folder(kind="folder", framing="digit", test=0.4)
    kept = []
    for names in (("a.jpg", "z.png"), ("z.jpg", "a.png")):
        images = tmp_path / names[0]
        for scale in (40, 47):
            for name, picture in (("seven", seven(scale)), ("neves", ImageOps.mirror(seven(scale)))):
                path = images / name / f"{scale} {names[0]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
                decode(path.read_bytes()).save(path.with_name(f"{scale} {names[1]}"))  # a draft of a JPEG is another
        found = gathered(images, framed)
        assert found.duplicates == 4
        kept.append(content(found))
    assert kept[0] == kept[1]


def test_the_locale_does_not_decide_a_class_s_name(monkeypatch: pytest.MonkeyPatch):
    """In ISO-8859-1, the two bytes of an accented letter are two letters."""
    assert name_of(Path("e\u0301mile")) == "\u00e9mile"
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    assert name_of(Path("\u00c3\u00a9mile")) == "\u00e9mile"
    assert not name_of(Path("\u00e9mile")).isprintable()  # no UTF-8, and refused as what cannot be shown


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_in_any_locale_the_classes_are_told_by_their_names(
    images: Path, encoding: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (images / "cat").rename(images / "\u00e9mile")
    found = scan(images, Problems())
    monkeypatch.setattr(os, "fsencode", lambda path: str(path).encode(encoding))
    tell(found, sorted({image.name for image in found}))
    assert "\u00e9mile 20" in capsys.readouterr().out
    assert listed(["\u00e9mile"]) == "the folder \u00e9mile"


def test_the_same_deep_picture_counts_once_in_either_order_of_bytes(images: Path):
    values = np.arange(28 * 28, dtype=np.uint16).reshape(28, 28) * 80
    Image.fromarray(values).save(images / "cat/deep.png")
    Image.frombytes("I;16B", (28, 28), values.astype(">u2").tobytes()).save(images / "cat/deep.tiff")
    Image.fromarray(values.astype(np.int32)).save(images / "cat/deeper.tiff")
    assert gathered(images).duplicates == 2


def test_beside_another_dataset_a_first_picture_of_a_class_is_enough(images: Path):
    for other in ("dog", "long-eared owl"):
        shutil.rmtree(images / other)
    for picture in sorted(images.glob("cat/*"))[1:]:
        picture.unlink()
    with pytest.raises(Refusal, match="holds images of 1 classes, expected 2 to 1,000"):
        gathered(images)
    assert gather(images, WHOLE, alone=False).task.classes == ["cat"]


def test_the_same_picture_of_two_classes_is_refused_with_both_names(images: Path):
    shutil.copy(images / "cat/0.png", images / "dog/zero.png")
    with pytest.raises(Refusal, match=r"dog/zero.png: shows the same picture as .*cat/0.png, of another class"):
        gathered(images)


def test_what_nobody_sees_is_passed_over(images: Path):
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini", ".hidden/x.png", "cat/._0.png"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(b"anything")
    assert gathered(images).images.shape[0] == 60


def png(**options: object) -> bytes:
    file = io.BytesIO()
    drawing(99).save(file, "PNG", **options)
    return file.getvalue()


def animation() -> bytes:
    file = io.BytesIO()
    drawing(1).save(file, "GIF", save_all=True, append_images=[drawing(2)])
    return file.getvalue()


def jpeg() -> bytes:
    file = io.BytesIO()
    drawing(1, (300, 200)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "bad", "said"),
    [
        ("cat/bad.png", b"hello", r"cat/bad.png: is no PNG, JPEG, GIF, WebP, BMP or TIFF image"),
        ("cat/bad.jpg", jpeg()[:-500], "cat/bad.jpg: is broken or ends too early"),
        ("cat/bad.png", b"", "cat/bad.png: is empty"),
        ("cat/bad.gif", animation(), "cat/bad.gif: has several frames, expected a single picture"),
        ("cat/bad.psd", png(), "cat/bad.psd: is no image by its name, expected one that ends in .bmp, .gif, .jpeg,"),
        (
            "cat/bad.heic",
            b"\0\0\0\x18ftypheic",
            "cat/bad.heic: is HEIC or AVIF, which is not read here; save it as JPE",
        ),
        ("bad.png", png(), "images/bad.png: lies beside the classes' folders, expected in one of them"),
        ("new\nline/a.png", png(), r"images/new\\nline: names a class that cannot be shown"),
        ("CAT/a.png", png(), "images/cat: is the class of .*images/CAT but for capitals, accents or blanks"),
        ("cat /a.png", png(), "images/cat : is the class of .*images/cat but for capitals, accents or blanks"),
        ("long-eared  owl/a.png", png(), "images/long-eared owl: is the class of .*images/long-eared  owl but for"),
        ("cow/a.png", png(), "images/cow: holds 1 picture, expected at least 2"),
        ("cow/.hidden", b"", "images/cow: holds no image, expected some"),
    ],
)
def test_what_cannot_be_used_is_named_with_why(images: Path, name: str, bad: bytes, said: str):
    (images / name).parent.mkdir(exist_ok=True)
    (images / name).write_bytes(bad)
    with pytest.raises(Refusal, match=rf"(?s)images cannot be taken as it is:\n  .*{said}") as refused:
        gathered(images)
    assert str(refused.value).count("\n") == 1


def test_a_file_whose_name_is_no_unicode_can_be_named(images: Path):
    with open(os.fsencode(images / "cat") + b"/\xff.png", "wb") as file:  # noqa: PTH123
        file.write(b"hello")
    with pytest.raises(Refusal, match=r"cat/\\xff.png: is no PNG"):
        gathered(images)


def test_a_hundred_megapixels_are_refused_unread(images: Path):
    Image.new("1", (10_000, 10_000)).save(images / "cat/huge.png")
    with pytest.raises(Refusal, match=r"huge.png: is 10,000 x 10,000 pixels, expected 64,000,000 at most"):
        gathered(images)


def test_links_are_followed_within_the_folder_and_into_dvcs_cache(images: Path, tmp_path: Path):
    cached = tmp_path / "cache/files/md5/ab" / ("0123456789" * 3)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(png())
    (images / "cat/linked.png").symlink_to(cached)
    (images / "cat/within.png").symlink_to(images / "cat/0.png")
    found = gathered(images)
    assert (found.images.shape[0], found.duplicates) == (61, 1)


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("cat/a.png", "/etc/passwd", "is a link out of the folder"),
        ("cat/a.png", "a.png", "is a link to nothing or in a circle"),
        ("cat/a", "..", "is a link to a folder, expected a folder"),
        ("cat/a.png", "nothing.png", "is a link to nothing"),
        ("cow", "cat", "lies beside the classes' folders"),
    ],
)
def test_other_links_are_refused(images: Path, name: str, target: str, said: str):
    (images / name).symlink_to(target)
    with pytest.raises(Refusal, match=f"{name}: {said}"):
        gathered(images)


def test_a_pipe_is_refused_instead_of_waited_for(images: Path):
    os.mkfifo(images / "cat/pipe.png")
    with pytest.raises(Refusal, match=r"cat/pipe.png: is no file"):
        gathered(images)


def test_a_file_that_may_not_be_read_is_named(images: Path, monkeypatch: pytest.MonkeyPatch):
    read = Path.read_bytes

    def closed(path: Path) -> bytes:
        """Access as another user than root has it, whom no mode of a file stops."""
        if path.name == "0.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", closed)
    with pytest.raises(Refusal, match=r"cat/0.png: cannot be read: Permission denied"):
        gathered(images)


def test_an_accent_as_a_letter_of_its_own_makes_no_other_class(images: Path):
    for name in ("\u00e9mile", "e\u0301mile"):
        (images / name).mkdir()
        drawing(99).save(images / name / "a.png")
    with pytest.raises(Refusal, match=r"mile: is the class of .*mile but for capitals, accents or blanks"):
        gathered(images)


def test_what_the_folders_tell_is_refused_before_a_picture_is_read(images: Path, monkeypatch: pytest.MonkeyPatch):
    (images / "cow").mkdir()
    drawing(99).save(images / "cow/alone.png")
    monkeypatch.setattr("digits.pictures.folder.read_all", None)
    monkeypatch.setattr("digits.pictures.folder.settle", None)
    with pytest.raises(Refusal, match=r"images/cow: holds 1 picture, expected at least 2"):
        gathered(images)


def moved(images: Path, below: str, number: int = 10) -> None:
    """Move some pictures of each class to a folder that has the classes below it."""
    for folder in [*images.iterdir()]:
        for path in sorted(folder.iterdir())[:number]:
            target = images / below / folder.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


def split_as(images: Path, train: str, test: str) -> None:
    """Let the folder hold a split of its own, ten pictures of each class on either side."""
    moved(images, "between")
    (images / "between").rename(images.parent / test)
    images.rename(images.parent / "rest")
    images.mkdir()
    (images.parent / "rest").rename(images / train)
    (images.parent / test).rename(images / test)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        pytest.param("train", "test", marks=pytest.mark.slow),
        pytest.param("Training", "testing", marks=pytest.mark.slow),
        ("validation", "TEST"),
    ],
)
def test_a_split_of_ones_own_is_taken(images: Path, train: str, test: str, capsys: pytest.CaptureFixture[str]):
    before = {image[:2] for image in content(gathered(images))}
    split_as(images, train, test)
    found = gathered(images)
    assert "split by the folders: 30 pictures to test on, 30 to train on" in capsys.readouterr().out
    assert found.task.classes == ["cat", "dog", "long-eared owl"]
    assert {image[:2] for image in content(found)} == before
    tested = {decode(path.read_bytes()).tobytes() for path in (images / test).rglob("*.png")}
    assert {pixels for pixels, _, in_test in content(found) if in_test} == tested
    assert len(tested) == 30


def test_validation_pictures_of_ones_own_split_are_to_train_on(images: Path):
    split_as(images, "train", "test")
    shutil.copytree(images / "train", images / "val", copy_function=shutil.move)
    shutil.rmtree(images / "train")
    for number in range(6):
        path = images / "train" / ["cat", "dog", "long-eared owl"][number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing(100 + number).save(path)
    found = gathered(images)
    assert (len(found.labels), found.in_test.sum()) == (66, 30)


def test_a_picture_on_both_sides_of_ones_own_split_stays_on_both(images: Path):
    """So that `prepare` counts it, as it does of published datasets."""
    split_as(images, "train", "test")
    for path in sorted((images / "test/cat").iterdir())[:3]:
        shutil.copy(path, images / "train/cat" / f"again-{path.name}")
    found = gathered(images)
    assert (len(found.labels), found.in_test.sum(), found.duplicates) == (63, 30, 0)
    path.rename(images / "train/dog" / path.name)
    with pytest.raises(Refusal, match=r"shows the same picture as .*, of another class"):
        gathered(images)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: (images / "test/cow").mkdir(), r"test/cow: holds no image, expected some"),
        (
            lambda images: (images / "test/cat").rename(images / "test/Cat"),
            r"test/Cat: is the class of |train/cat: is t",
        ),
        (
            lambda images: (images / "train/cat").rename(images / "test/cat/x"),
            "holds pictures of cat to test on and none",
        ),
        (lambda images: drawing(1).save(images / "a.png"), r"images/a.png: lies beside the split's folders"),
        (
            lambda images: shutil.copytree(images / "test", images / "more"),
            r"test: holds the folders cat, dog, long-ea",
        ),
    ],
)
def test_what_is_wrong_with_ones_own_split_is_named(images: Path, change, said: str):
    split_as(images, "train", "test")
    change(images)
    with pytest.raises(Refusal, match=said):
        gathered(images)


@pytest.mark.parametrize(
    ("outer", "said"),
    [
        (
            ["more"],
            r"images/more: holds the folders cat, dog, long-eared owl, as .*images does: expected their pictures",
        ),
        (["cat"], r"images/cat: holds the folders dog, long-eared owl, as .*images does: expected their pictures"),
        (["train"], r"images/train: holds the folders cat, dog, long-eared owl, expected train and test with classes"),
    ],
)
def test_classes_within_a_class_are_refused(images: Path, outer: list[str], said: str):
    for name in outer:
        moved(images, name, 5)
    with pytest.raises(Refusal, match=said):
        gathered(images)


def test_a_folder_around_the_classes_is_refused(images: Path):
    moved(images, "my-animals", 20)
    for name in ("cat", "dog", "long-eared owl"):
        (images / name).rmdir()
    with pytest.raises(
        Refusal, match=r"my-animals: is the only class, and holds the folders cat, dog, long-eared owl, "
    ):
        gathered(images)


def test_digits_within_writers_are_refused_and_writers_within_digits_are_asked_about(
    images: Path, capsys: pytest.CaptureFixture[str]
):
    for number, path in enumerate(sorted(images.rglob("*.png"))):
        digit, writer = number % 10, "ab"[number // 10 % 2]
        for name in (f"by writer/{writer}/{digit}", f"by digit/{digit}/{writer}"):
            (images / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, images / name)
    with pytest.raises(Refusal, match=r"by writer: holds the folders a, b, and these the folders 0, .*, 9, exp"):
        gathered(images / "by writer")
    gathered(images / "by writer", WHOLE.model_copy(update={"group": "folder"}))  # they may be cameras, too
    gathered(images / "by digit")
    assert "the folders a, b lie in several classes: if they are writers" in capsys.readouterr().out


def test_parts_of_a_split_are_no_classes_whatever_is_asked_for(images: Path):
    moved(images, "train", 5)
    with pytest.raises(
        Refusal, match=r"images/train: holds the folders cat, dog, long-eared owl, expected train and t"
    ):
        gathered(images, WHOLE.model_copy(update={"group": "folder"}))


GROUPED = WHOLE.model_copy(update={"group": "folder", "test": 0.4})


@pytest.fixture
def by_writer(images: Path) -> Path:
    """The pictures of each class by eight writers, whatever class they are of."""
    for number, path in enumerate(sorted(images.rglob("*.png"), key=lambda path: int(path.stem))):
        target = path.parent / f"writer {number // 3 % 8}" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    return images


def sides(folder: Path, found: Loaded) -> dict[str, set[bool]]:
    """Of each writer, on which sides of the split the pictures are."""
    in_test = {pixels: side for pixels, _, side in content(found)}
    by_name: dict[str, set[bool]] = {}
    for path in folder.rglob("*.png"):
        side = in_test.get(decode(path.read_bytes()).tobytes())
        by_name.setdefault(path.parent.name, set()).update({side} - {None})
    return by_name


@pytest.mark.slow
def test_a_group_stands_on_one_side_and_growing_moves_none(by_writer: Path, capsys: pytest.CaptureFixture[str]):
    found = gathered(by_writer, GROUPED)
    before = sides(by_writer, found)
    assert {len(of_writer) for of_writer in before.values()} == {1}
    tested = sum(of_writer == {True} for of_writer in before.values())
    assert 0 < tested < 8
    assert f"groups: {8 - tested} to train on, {tested} to test on\n" in capsys.readouterr().out
    assert len(np.unique(found.groups, axis=0)) == 8
    kept = set(content(found))
    for number in range(60, 90):
        path = by_writer / "cat" / f"writer {number % 10}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        drawing(number).save(path)
    assert kept < set(content(gathered(by_writer, GROUPED)))
    assert sides(by_writer, gathered(by_writer, GROUPED)).items() > before.items()
    assert {True, False} in sides(by_writer, gathered(by_writer)).values(), "without groups, one hand is on both sides"


def test_where_no_group_is_to_test_on_it_is_said_what_takes_some(by_writer: Path, capsys: pytest.CaptureFixture[str]):
    found = gathered(by_writer, GROUPED.model_copy(update={"test": 0.001}))
    assert not found.in_test.any()
    assert "groups: 8 to train on, 0 to test on; a larger datasets.own.test takes some" in capsys.readouterr().out


def test_how_a_group_is_written_does_not_decide(by_writer: Path):
    before = content(gathered(by_writer, GROUPED))
    for name in ("cat", "dog"):
        (by_writer / name / "writer 3").rename(by_writer / name / " WRITER  3")
    assert content(gathered(by_writer, GROUPED)) == before


def test_a_picture_without_a_group_is_its_own(images: Path, capsys: pytest.CaptureFixture[str]):
    ungrouped, grouped = gathered(images), gathered(images, WHOLE.model_copy(update={"group": "folder"}))
    assert content(grouped) == content(ungrouped)
    np.testing.assert_array_equal(grouped.groups, grouped.identities)
    assert ungrouped.groups is None
    assert "groups: 0 to train on, 0 to test on, and 60 pictures without one" in capsys.readouterr().out


def test_a_picture_of_two_groups_is_on_one_side_and_never_leaves_the_test_images(by_writer: Path):
    """Whatever its files are called, and whichever of its groups was there first."""
    before = gathered(by_writer, GROUPED)
    of_writer = sides(by_writer, before)
    tested = next(name for name, side in of_writer.items() if side == {True})
    trained = next(name for name, side in of_writer.items() if side == {False})
    path = next((by_writer / "cat" / tested).iterdir())
    shutil.copy(path, by_writer / "cat" / trained / "0.png")
    shutil.copy(path, by_writer / "cat" / trained / "z.png")
    found = gathered(by_writer, GROUPED)
    assert (content(found), found.duplicates) == (content(before), 2)


def test_groups_on_both_sides_of_ones_own_split_are_told(images: Path, capsys: pytest.CaptureFixture[str]):
    split_as(images, "train", "test")
    for side in ("train", "test"):
        (images / side / "cat/anna").mkdir()
        for path in [*(images / side / "cat").glob("*.png")][:5]:
            path.rename(path.parent / "anna" / path.name)
    found = gathered(images, GROUPED)
    assert found.in_test.sum() == 30
    assert "your split has the folder anna on both sides" in capsys.readouterr().out


def test_ten_problems_are_named_and_the_others_counted(images: Path):
    for number in range(37):
        (images / f"cat/bad {number:02}.png").write_bytes(b"hello")
    with pytest.raises(Refusal) as refused:
        gathered(images)
    lines = str(refused.value).splitlines()
    assert len(lines) == 12
    assert lines[1].endswith("cat/bad 00.png: is no PNG, JPEG, GIF, WebP, BMP or TIFF image that can be read")
    assert lines[-1] == "  and 27 more"


def test_what_cannot_be_read_may_be_left_out_and_is_counted(images: Path):
    (images / "cat/bad.png").write_bytes(b"hello")
    (images / "cat/worse.png").write_bytes(b"")
    skipping = WHOLE.model_copy(update={"unreadable": "skip"})
    found = gathered(images, skipping)
    assert (found.images.shape[0], found.unreadable) == (60, 2)
    (images / "notes.txt").write_text("no image's place")
    with pytest.raises(Refusal, match="notes.txt: lies beside"):
        gathered(images, skipping)


@pytest.mark.parametrize("made", [False, True])
def test_no_images_at_all_are_asked_for(tmp_path: Path, made: bool):
    if made:
        (tmp_path / "images").mkdir()
    with pytest.raises(Refusal, match=r"images holds no images: put some into .*CLASS/.* then `dvc add"):
        gathered(tmp_path / "images")


def test_images_that_dvc_has_are_to_be_pulled(tmp_path: Path):
    (tmp_path / "images.dvc").touch()
    with pytest.raises(Refusal, match=r"images holds no images, though .*images.dvc tracks some: `dvc pull .*images`"):
        gathered(tmp_path / "images")


def test_a_single_class_is_refused(images: Path):
    shutil.rmtree(images / "dog")
    shutil.rmtree(images / "long-eared owl")
    with pytest.raises(Refusal, match=r"images: holds images of 1 classes, expected 2 to 1,000"):
        gathered(images)


def test_a_class_of_which_all_are_test_images_is_refused(images: Path):
    with pytest.raises(Refusal, match=r"cat: holds 20 pictures that all are test images by their content"):
        gathered(images, WHOLE.model_copy(update={"test": 0.999999}))


def seven(scale: int) -> Image.Image:
    """A seven that leans the more, the larger it is."""
    image = Image.new("L", (24 * scale, 30 * scale), 235)
    ImageDraw.Draw(image).line(
        [(9 * scale, 7 * scale), (16 * scale, 7 * scale), (14 * scale - scale**2 // 6 % (9 * scale), 23 * scale)],
        40, 2 * scale, joint="curve",
    )  # fmt: skip
    return image


def test_a_digit_is_framed_by_the_very_code_of_predict(images: Path):
    framed = Folder(kind="folder", framing="digit", unreadable="skip", test=0.5)
    for path in images.rglob("*.png"):
        path.unlink()
    for scale in range(4, 10):
        seven(scale).save(images / "cat" / f"{scale}.jpg")
        seven(scale).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(images / "dog" / f"{scale}.png")
    shutil.rmtree(images / "long-eared owl")
    Image.new("L", (200, 200), 255).save(images / "cat/empty.png")
    found = gathered(images, framed)
    assert (found.images.shape, found.unreadable) == ((12, 28, 28, 1), 1)
    expected = {
        np.rint(prepare(path.read_bytes()) * 255).astype(np.uint8).tobytes()
        for path in images.rglob("*.*") if path.stem != "empty"
    }  # fmt: skip
    assert {pixels for pixels, *_ in content(found)} == expected
    with pytest.raises(Refusal, match=r"cat/empty.png: shows no digit"):
        gathered(images, framed.model_copy(update={"unreadable": "refuse"}))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (640, 480), (28, 28), (27, 29)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pictures_of_any_size_and_kind_become_images(size: tuple[int, int], mode: str):
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    picture = Image.fromarray(values, "RGBA")
    picture = picture.convert("L").convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)
    for channels in (1, 3):
        found = framing.whole(picture, (28, 28, channels))
        assert (found.shape, found.dtype) == ((28, 28, channels), np.uint8)
    assert len(of_picture(flattened(picture))) == 8


def test_a_whole_picture_keeps_its_sides_ratio_and_goes_on_at_its_rim():
    picture = Image.new("RGB", (100, 50), (200, 100, 0))
    picture.paste((0, 0, 255), (40, 20, 60, 30))
    found = framing.whole(picture, (20, 20, 3))
    assert (found[:5] == (200, 100, 0)).all()
    np.testing.assert_allclose(found[10, 10], (0, 0, 255), atol=30)
    assert (found[:, 0] == (200, 100, 0)).all()


@pytest.mark.parametrize(("ink", "page"), [("black", 255), ("white", 0)])
def test_a_transparent_page_is_one_on_which_the_drawing_can_be_seen(ink: str, page: int):
    picture = Image.new("RGBA", (28, 28))
    ImageDraw.Draw(picture).line([(5, 5), (20, 20)], ink, 3)
    found = framing.whole(picture, (28, 28, 1))[..., 0]
    assert found[0, 27] == page
    assert found[12, 12] == 255 - page


def test_bits_beyond_eight_are_scaled_and_not_cut():
    picture = Image.fromarray(np.linspace(0, 65535, 28 * 28).reshape(28, 28).astype(np.uint16))
    found = framing.whole(picture, (28, 28, 1))[..., 0]
    assert (found[0, 0], found[-1, -1]) == (0, 255)
    assert 120 < found[14, 0] < 136


def test_a_photograph_is_read_upright():
    picture = Image.new("L", (40, 20), 255)
    ImageDraw.Draw(picture).rectangle((0, 0, 19, 19), 0)
    turned, file = Image.Exif(), io.BytesIO()
    turned[274] = 3
    picture.save(file, "JPEG", exif=turned, quality=95)
    found = framing.whole(decode(file.getvalue()), (20, 40, 1))
    assert found[10, 5] > 200
    assert found[10, 35] < 50


def test_a_picture_in_cie_lab_becomes_grey():
    picture = Image.frombytes("LAB", (1, 1), bytes([255, 0, 0]))
    assert framing.whole(picture, (1, 1, 1))[0, 0, 0] > 250


def test_what_is_below_black_is_black():
    picture = Image.fromarray(np.array([[-300, 0, 255]], np.int32))
    assert framing.whole(picture, (1, 3, 1)).ravel().tolist() == [0, 0, 255]


def test_a_png_with_a_monitors_large_profile_is_read(images: Path):
    drawing(99).save(images / "cat/profiled.png", icc_profile=bytes(3_000_000))
    assert gathered(images).images.shape[0] == 61


def test_a_full_disk_is_told_with_what_to_do(images: Path, monkeypatch: pytest.MonkeyPatch):
    with Path("/dev/full").open("wb") as full:
        monkeypatch.setattr(reading.tempfile, "TemporaryFile", lambda: full)
        with pytest.raises(Refusal, match=r"has no room for the images .No space left on device.; point TMPDIR else"):
            gathered(images)
        with suppress(OSError):  # it closes with what it could not write
            full.close()


def script(images: Path, body: str) -> subprocess.Popen[str]:
    """A process that gathers in other processes, one image each."""
    program = (
        "import os, sys, time\nfrom pathlib import Path\nfrom digits.foundation import command\n"
        "from digits.pictures import folder, reading\n"
        "from digits.foundation.parameters import Folder\n"
        f"def main():\n    reading.AHEAD = 1\n"
        f"    folder.gather(Path({str(images)!r}), Folder(kind='folder', framing='whole'), False)\n"
        "command.begin()\n"
        f"{body}"
        "if __name__ == '__main__':\n    command.run(main)\n"
    )
    path = images.parent / "program.py"
    path.write_text(program)
    return subprocess.Popen(
        [sys.executable, str(path)], env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_reading_process_that_is_killed_is_told_in_a_sentence(images: Path):
    process = script(images, "reading.decode = lambda content: os._exit(9)\n")
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert said == f"error: {images}/cat/0.png ended the process that read it, or that was ended for want of memory\n"


def test_a_call_that_takes_too_long_ends_with_its_process_and_the_next_has_another():
    with reading.Worker() as worker:
        first = worker.call(os.getpid, seconds=9)
        with pytest.raises(reading.TooSlow, match=r"^takes longer than 0.1 s to read$"):
            worker.call(time.sleep, 60, seconds=0.1)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert worker.call(os.getpid, seconds=9) not in {first, os.getpid()}
        with pytest.raises(Refusal, match="^has no sense$"):
            worker.call(refuse, seconds=9)
        with pytest.raises(Refusal, match="^ended the process that read it"):
            worker.call(os._exit, 1, seconds=9)
        assert worker.call(len, "abc", seconds=9) == 3


def refuse() -> None:
    raise Refusal("has no sense")


def test_a_picture_that_takes_too_long_is_named_even_where_what_cannot_be_read_is_skipped(
    images: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else a slow machine would have other images than a fast one."""
    (images / "cat/slow.png").write_bytes(b"slow")
    decode = reading.decode
    monkeypatch.setattr(reading, "SLOWEST", 0.5)
    monkeypatch.setattr(reading, "decode", lambda content: time.sleep(60) if content == b"slow" else decode(content))
    with pytest.raises(Refusal, match=r"images/cat/slow.png takes longer than 0.5 s to read$"):
        gathered(images, WHOLE.model_copy(update={"unreadable": "skip"}))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_reading_process_outlives_the_one_that_started_it(images: Path, how: signal.Signals):
    process = script(images, "reading.decode = lambda content: sys.stderr.write('reading\\n') + time.sleep(60)\n")
    assert process.stderr.readline() == "reading\n"
    process.send_signal(how)
    process.communicate(timeout=20)  # which waits until all have closed their end


@pytest.mark.slow
@pytest.mark.parametrize("at", ["start", "work"])
def test_ctrl_c_ends_every_reading_process_at_once_and_in_a_line(images: Path, at: str):
    does = "end_with_parent = lambda" if at == "start" else "decode = lambda content"
    process = script(images, f"reading.{does}: sys.stderr.write('reading\\n') + time.sleep(60)\n")
    assert process.stderr.readline() == "reading\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    said = process.communicate(timeout=30)[1]  # which waits until all have closed their end
    assert process.returncode == 130
    assert said.replace("reading\n", "") == "interrupted\n"
