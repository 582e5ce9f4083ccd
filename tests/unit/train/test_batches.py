"""Batches: which images a step sees depends on the seed and the step alone."""

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import ConfigError
from edgekd.tasks.task import Preprocessing, Split, Task
from edgekd.train.batches import Batches, training_batches
from edgekd.train.training import Training

PLAIN = Preprocessing(scale=1.0, mean=(0.0,), std=(1.0,), layout="NCHW", channel_order="gray")


def numbered(count: int, batch_size: int, *, seed: int = 0, epochs: int = 2, augmented: bool = False) -> Batches:
    """Return batches of images whose pixels are all their own number, labelled with that number."""
    numbers = np.arange(count)
    images = np.broadcast_to(numbers.astype(np.uint8).reshape(-1, 1, 1, 1), (count, 1, 2, 2)).copy()
    moved = Training(epochs=epochs, lr=1.0, batch_size=batch_size)
    still = msgspec.structs.replace(moved, shift=0.0, rotation=0.0, scale=0.0, shear=0.0)
    return Batches(
        split=Split(images=images, labels=numbers),
        preprocessing=PLAIN,
        training=moved if augmented else still,
        seed=seed,
    )


@given(count=st.integers(1, 60), batch_size=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_no_image_comes_twice_in_an_epoch(count: int, batch_size: int, seed: int) -> None:
    """Whole batches only: as many different images as fit, fewer than a batch of them left out."""
    batch_size = min(count, batch_size)
    batches = numbered(count, batch_size, seed=seed)

    for epoch in range(2):
        first = epoch * batches.steps_per_epoch
        seen = torch.cat([batches.batch(step)[1] for step in range(first, first + batches.steps_per_epoch)]).tolist()
        assert len(seen) == len(set(seen)) == batches.steps_per_epoch * batch_size
        assert count - batch_size < len(seen) <= count


def test_steps_are_whole_batches_times_epochs() -> None:
    """26 images make 3 batches of 8; 5 epochs make 15 steps."""
    batches = numbered(26, 8, epochs=5)

    assert (batches.steps_per_epoch, batches.steps) == (3, 15)


def test_labels_stay_with_their_images() -> None:
    """Each image's pixels are its label."""
    images, labels = numbered(20, 10).batch(1)

    assert images.dtype == torch.float32
    assert images.shape == (10, 1, 2, 2)
    assert torch.equal(images.amax((1, 2, 3)), labels.float())


def test_a_step_is_the_same_whatever_was_asked_before() -> None:
    """Images, their changes and labels of step 5 do not depend on steps 0 to 4: that is what resuming needs."""
    asked_in_order, asked_alone = numbered(40, 8, augmented=True), numbered(40, 8, augmented=True)
    for step in range(5):
        asked_in_order.batch(step)

    first, second = asked_in_order.batch(5), asked_alone.batch(5)

    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    """Of 40! orders no two of these are alike."""
    orders = [
        tuple(torch.cat([numbered(40, 8, seed=seed).batch(5 * epoch + step)[1] for step in range(5)]).tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    ]

    assert len(set(orders)) == 4


def test_an_image_looks_different_each_time(task: Task) -> None:
    """Alone in its split it is in every step, changed in another way."""
    one = Batches(
        split=Split(images=task.train.images[:1], labels=task.train.labels[:1]),
        preprocessing=task.preprocessing,
        training=Training(epochs=4, lr=1.0, batch_size=1),
        seed=0,
    )

    assert len({tuple(one.batch(step)[0].flatten().tolist()) for step in range(4)}) == 4


def test_what_the_layers_draw_has_a_seed_of_its_own_in_each_step() -> None:
    """Different for every step and seed, and always the same for one."""
    seeds = [numbered(8, 4, seed=seed).layer_seed(step) for seed in (0, 1) for step in range(50)]

    assert len(set(seeds)) == 100
    assert seeds == [numbered(8, 4, seed=seed).layer_seed(step) for seed in (0, 1) for step in range(50)]


def test_the_callers_random_state_stays() -> None:
    """Orders and augmentations come from generators of their own."""
    state = torch.random.get_rng_state()

    numbered(8, 4, augmented=True).batch(0)

    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_batch_larger_than_the_training_split_is_refused(task: Task) -> None:
    """The message holds both numbers."""
    with pytest.raises(ConfigError, match="batch_size: 27; the task has 26 training images: take fewer"):
        training_batches(task, Training(epochs=1, lr=1.0, batch_size=27), seed=0)


def test_batches_are_normalized_as_the_task_says(task: Task) -> None:
    """A batch of everything holds every training image once, each as the network will see it at the end."""
    still = Training(epochs=1, lr=1.0, batch_size=26, shift=0, rotation=0, scale=0, shear=0)

    images, _ = training_batches(task, still, seed=0).batch(0)

    expected = torch.from_numpy(task.normalize(task.train.images))
    assert sorted(images.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())
