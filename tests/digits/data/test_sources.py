import numpy as np
import pytest

from digits.data import sources
from digits.data.raw import Description, Raw, Split
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.parameters import Validation

LABELS = np.repeat(np.arange(10, dtype=np.uint8), [30, 20, 20, 20, 20, 20, 20, 20, 20, 10])


@pytest.mark.parametrize(("size", "count"), [(0, 0), (0.0, 0), (40, 40), (0.2, 40), (0.25, 50)])
@pytest.mark.parametrize("take", ["stratified", "first", "last"])
def test_a_count_or_a_share_is_held_out(size: float, count: int, take: str):
    assert sources.split(LABELS, Validation(hold_out=size, take=take, seed=1)).sum() == count


def test_first_and_last_are_what_they_say():
    assert np.flatnonzero(sources.split(LABELS, Validation(hold_out=3, take="first", seed=1))).tolist() == [0, 1, 2]
    assert np.flatnonzero(sources.split(LABELS, Validation(hold_out=3, take="last", seed=1))).tolist() == [
        197,
        198,
        199,
    ]


def test_a_stratified_choice_keeps_the_class_proportions_and_follows_the_seed():
    validation = Validation(hold_out=20, take="stratified", seed=1)
    chosen = sources.split(LABELS, validation)
    assert np.bincount(LABELS[chosen]).tolist() == [3, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    np.testing.assert_array_equal(chosen, sources.split(LABELS, validation))
    assert (chosen != sources.split(LABELS, Validation(hold_out=20, take="stratified", seed=2))).any()


@pytest.mark.parametrize("size", [200, 10**9])
def test_holding_out_everything_is_refused(size: int):
    with pytest.raises(Refusal, match=f"prepare.validation.hold_out is {size}, expected less than the 200"):
        sources.split(LABELS, Validation(hold_out=size, take="first", seed=1))


def test_a_stratified_choice_that_cannot_be_is_refused():
    with pytest.raises(Refusal, match="prepare.validation.hold_out is 3, which leaves no stratified split"):
        sources.split(LABELS, Validation(hold_out=3, take="stratified", seed=1))


IDENTITIES = np.random.default_rng(0).integers(0, 256, (200, 8), np.uint8)


def test_an_image_of_a_folder_is_held_out_for_its_content_alone():
    validation = Validation(hold_out=0.25, take="first", seed=1)
    chosen = sources.split_by_content(IDENTITIES, validation)
    assert 30 < chosen.sum() < 70
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(sources.split_by_content(IDENTITIES[order], validation), chosen[order])
    np.testing.assert_array_equal(sources.split_by_content(IDENTITIES[:9], validation), chosen[:9])
    other = Validation(hold_out=0.25, take="stratified", seed=7)
    np.testing.assert_array_equal(sources.split_by_content(IDENTITIES, other), chosen)
    assert not sources.split_by_content(IDENTITIES, Validation(hold_out=0, take="first", seed=1)).any()
    more = sources.split_by_content(IDENTITIES, Validation(hold_out=0.5, take="first", seed=1))
    assert (more | ~chosen).all(), "a larger share keeps who was held out"


def test_a_count_of_a_folders_images_is_refused():
    with pytest.raises(Refusal, match="prepare.validation.hold_out is 5, expected a share"):
        sources.split_by_content(IDENTITIES, Validation(hold_out=5, take="first", seed=1))


def test_a_folder_of_which_all_would_be_held_out_is_refused():
    with pytest.raises(Refusal, match="which holds out all 1 training images of a folder"):
        sources.split_by_content(np.zeros((1, 8), np.uint8), Validation(hold_out=0.999, take="first", seed=1))


@pytest.mark.parametrize("by_content", [False, True])
def test_a_dataset_is_split_after_its_kind(by_content: bool):
    validation = Validation(hold_out=0.2, take="stratified", seed=1)
    training = Split(None, LABELS, IDENTITIES)  # type: ignore[arg-type]
    raw = Raw(Description(Task([*"abcdefghij"], "digit"), by_content, 0, 0, [], {}), training, training)
    expected = sources.split_by_content(IDENTITIES, validation) if by_content else sources.split(LABELS, validation)
    np.testing.assert_array_equal(sources.hold_out(raw, validation), expected)


def test_who_is_in_a_group_is_held_out_with_it():
    validation = Validation(hold_out=0.3, take="stratified", seed=1)
    groups = IDENTITIES[np.arange(200) % 20]
    training = Split(None, LABELS, IDENTITIES, groups)  # type: ignore[arg-type]
    raw = Raw(Description(Task([*"abcdefghij"], "digit"), True, 0, 0, [], {}), training, training)
    held_out = sources.hold_out(raw, validation).reshape(10, 20)
    assert (held_out == held_out[0]).all()
    assert 0 < held_out[0].sum() < 20
