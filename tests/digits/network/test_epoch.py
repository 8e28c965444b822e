import itertools

import numpy as np
import pytest

from digits.network.epoch import STRETCHES, as_tensor, stretches
from digits.network.tensorflow import for_xla, keras, tf


@pytest.mark.parametrize(("images", "batch_size"), [(300, 32), (320, 32), (32, 32), (33, 32), (5, 1)])
def test_an_epoch_is_cut_into_whole_batches_and_the_smaller_last(images: int, batch_size: int):
    cut = stretches(images, batch_size)
    assert cut[0][0] == 0
    assert cut[-1][1] == images
    assert all(one[1] == next_one[0] for one, next_one in itertools.pairwise(cut))
    assert all((stop - start) % size == 0 for start, stop, size in cut)
    assert len(cut) <= STRETCHES + 1
    assert {size for _, _, size in cut} <= {batch_size, images % batch_size}


@pytest.mark.parametrize("offset", [0, 4])
def test_images_become_a_tensor_wherever_they_lie(offset: int):
    memory = np.zeros(64 + 4 * 2 * 28 * 28 + offset, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    images = memory[start : start + 4 * 2 * 28 * 28].view(np.float32).reshape(2, 28, 28)
    images[1, 2, 3] = 0.5
    tensor = as_tensor(images)
    np.testing.assert_array_equal(tensor.numpy(), images)
    images[0, 0, 0] = 0.25
    assert (tensor[0, 0, 0].numpy() == 0.25) == (offset == 0), "aligned memory is shared, other memory copied"


def test_dropout_under_xla_drops_its_share_and_scales_the_rest():
    def drops(seed: int) -> list[np.ndarray]:
        dropout = keras.layers.Dropout(0.25, seed=seed)

        @tf.function(jit_compile=True)
        def drop() -> tf.Tensor:
            with for_xla():
                return dropout(tf.ones((100, 100)), training=True)

        return [drop().numpy(), drop().numpy()]

    first, second = drops(seed=1)
    np.testing.assert_allclose(np.unique(first), [0, 4 / 3], rtol=1e-6)
    assert (first == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert (first != second).any()
    np.testing.assert_array_equal([first, second], drops(seed=1))
    assert (first != drops(seed=2)[0]).any()
