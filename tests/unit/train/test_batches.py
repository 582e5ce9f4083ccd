"""Batches: which samples a step sees, and how, depends on the seed and the step alone."""

from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import STILL, image_task, random_task
from torch import Tensor

from edgekd.core.errors import ConfigError
from edgekd.tasks.making import make_task
from edgekd.tasks.preprocessing import Preprocessing, normalize
from edgekd.tasks.task import Input, Split, Task
from edgekd.train.batches import Batch, Batches, training_batches
from edgekd.train.distributed import World
from edgekd.train.draws import mixed_seed
from edgekd.train.mixing import PARTNERS
from edgekd.train.training import Training

EVERYTHING: dict[str, Any] = {"crop": 2, "flip": True, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
MIXES: tuple[dict[str, Any], ...] = ({}, {"mixup": 0.3}, {"cutmix": 1.0}, {"mixup": 0.3, "cutmix": 1.0})


def numbered(count: int, batch_size: int, *, seed: int = 0, epochs: int = 2) -> Batches:
    """Return batches of images whose pixels are all their own number, labelled with that number."""
    numbers = np.arange(count)
    images = np.broadcast_to(numbers.astype(np.uint8).reshape(-1, 1, 1, 1), (count, 1, 2, 2)).copy()
    training = Training(epochs=epochs, lr=1.0, batch_size=batch_size, **STILL)
    return Batches(task=image_task(images, numbers, classes=max(2, count)), training=training, seed=seed)


def varied(*, world: World | None = None, batch_size: int = 8, **settings: Any) -> Batches:  # noqa: ANN401 - as many kinds as settings
    """Return batches of 24 random colour images with everything on that changes an image."""
    training = Training(epochs=2, lr=1.0, batch_size=batch_size, **EVERYTHING, **settings)
    return Batches(task=random_task(24, 3, 7, 6), training=training, seed=3, world=world or World())


def looks(*batches: Batch) -> dict[tuple[int, int], tuple[object, ...]]:
    """Return how each sample of *batches* looks, with its labels and its part, by epoch and place."""
    found: dict[tuple[int, int], tuple[object, ...]] = {}
    for batch in batches:
        for row, sample in enumerate(batch.samples.tolist()):
            others = () if batch.other_labels is None else (batch.other_labels[row].item(),)
            part = () if batch.part is None else (batch.part[row].item(),)
            look = (batch.inputs[0][row].numpy().tobytes(), batch.labels[row].item(), *others, *part)
            assert (batch.epoch, sample) not in found
            found[batch.epoch, sample] = look
    return found


def epoch_of(batches: Batches, epoch: int = 0) -> list[Batch]:
    """Return all batches of one epoch."""
    first = epoch * batches.steps_per_epoch
    return [batches.batch(step) for step in range(first, first + batches.steps_per_epoch)]


@given(count=st.integers(2, 60), batch_size=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_no_sample_comes_twice_in_an_epoch(count: int, batch_size: int, seed: int) -> None:
    """Whole batches only: as many different samples as fit, fewer than a batch of them left out."""
    batch_size = min(count, batch_size)
    batches = numbered(count, batch_size, seed=seed)

    for epoch in range(2):
        seen = torch.cat([batch.labels for batch in epoch_of(batches, epoch)]).tolist()
        assert len(seen) == len(set(seen)) == batches.steps_per_epoch * batch_size
        assert count - batch_size < len(seen) <= count


def test_steps_are_whole_batches_times_epochs() -> None:
    """26 samples make 3 batches of 8; 5 epochs make 15 steps."""
    batches = numbered(26, 8, epochs=5)

    assert (batches.steps_per_epoch, batches.steps) == (3, 15)


def test_labels_and_places_stay_with_their_images() -> None:
    """Each image's pixels are its label and its place in the split."""
    batch = numbered(20, 10).batch(3)
    (images,) = batch.inputs

    assert images.dtype == torch.float32
    assert images.shape == (10, 1, 2, 2)
    assert torch.equal(images.amax((1, 2, 3)), batch.labels.float())
    assert batch.labels.tolist() == batch.samples.tolist()
    assert batch.epoch == 1
    assert batch.part is None
    assert batch.other_labels is None


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_a_sample_looks_the_same_whatever_batch_it_is_in(mix: dict[str, Any]) -> None:
    """In batches of 8, 4 or 24, in one step or asked for alone, with its partner: bit for bit."""
    expected = looks(*epoch_of(varied(**mix)))

    assert len(expected) == 24
    assert looks(*epoch_of(varied(batch_size=4, **mix))) == expected
    assert looks(*epoch_of(varied(batch_size=24, **mix))) == expected
    assert looks(*(varied(**mix).view(np.array([sample]), 0) for sample in range(24))) == expected
    assert looks(varied(**mix).view(np.arange(24)[::-1].copy(), 0)) == expected


@pytest.mark.parametrize("mix", MIXES, ids=str)
@pytest.mark.parametrize("size", [2, 4])
def test_processes_share_the_batches_of_one(mix: dict[str, Any], size: int) -> None:
    """The parts of all, in the order of ranks, are the batch that one process would see."""
    whole = varied(**mix).batch(4)

    parts = [varied(world=World(rank=rank, size=size), **mix).batch(4) for rank in range(size)]

    assert np.concatenate([part.samples for part in parts]).tolist() == whole.samples.tolist()
    assert looks(*parts) == looks(whole)


def test_a_sample_looks_different_in_each_epoch_and_with_each_seed() -> None:
    """One sample, three epochs, two seeds: six looks."""
    found = {
        msgspec.structs.replace(varied(), seed=seed).view(np.array([5]), epoch).inputs[0].numpy().tobytes()
        for seed in range(2)
        for epoch in range(3)
    }

    assert len(found) == 6


def test_a_step_is_the_same_whatever_was_asked_before() -> None:
    """Images, their changes and labels of step 5 do not depend on steps 0 to 4: that is what resuming needs."""
    asked_in_order, asked_alone = varied(mixup=0.2), varied(mixup=0.2)
    for step in range(5):
        asked_in_order.batch(step)

    assert looks(asked_in_order.batch(5)) == looks(asked_alone.batch(5))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    """Of 40! orders no two of these are alike."""
    orders = [
        tuple(torch.cat([batch.labels for batch in epoch_of(numbered(40, 8, seed=seed), epoch)]).tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    ]

    assert len(set(orders)) == 4


def test_partners_are_the_samples_in_another_order_and_look_as_they_do_themselves() -> None:
    """Each sample is the partner of one; what is mixed in is how that one looks in this epoch without mixing."""
    mixed, plain = varied(mixup=1.0).view(np.arange(24), 1), varied().view(np.arange(24), 1)
    assert mixed.part is not None
    assert mixed.other_labels is not None
    weight = mixed.part[:, None, None, None]

    (own,), (found,) = plain.inputs, mixed.inputs
    theirs = (found - weight * own) / (1 - weight)
    clear = mixed.part < 0.9
    distances = (theirs[clear, None] - own[None]).abs().amax(dim=(2, 3, 4))
    partners = distances.argmin(1)

    assert clear.sum() > 15
    assert distances.amin(1).max() < 0.05
    assert len(set(partners.tolist())) == clear.sum()
    assert torch.equal(plain.labels[partners], mixed.other_labels[clear])


def test_what_the_layers_draw_has_a_seed_of_its_own_in_each_step_and_process() -> None:
    """Different for every step, process and seed, and always the same for one."""
    seeds = [
        Batches(
            task=numbered(8, 4).task, training=numbered(8, 4).training, seed=seed, world=World(rank=rank, size=2)
        ).layer_seed(step)
        for seed in (0, 1)
        for rank in (0, 1)
        for step in range(50)
    ]

    assert len(set(seeds)) == 200
    assert numbered(8, 4, seed=1).layer_seed(7) == numbered(8, 4, seed=1).layer_seed(7)


def test_no_layer_draws_from_the_seed_of_an_order() -> None:
    """Neither an epoch's nor its partners', for as many steps and epochs as anyone would look at."""
    batches = numbered(8, 4)
    of_layers = {batches.layer_seed(step) for step in range(1000)}
    of_orders = {mixed_seed(0, start + epoch) for start in (0, PARTNERS) for epoch in range(1000)}

    assert not of_layers & of_orders


def test_the_callers_random_state_stays() -> None:
    """Orders and changes come from generators of their own."""
    state = torch.random.get_rng_state()

    varied(mixup=1.0).batch(0)

    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_batch_is_cut_into_equal_parts_of_everything() -> None:
    """Two parts of four: put together they are the batch."""
    batch = varied(mixup=1.0).batch(0)

    parts = batch.cut(2)

    assert [len(part.samples) for part in parts] == [4, 4]
    assert looks(*parts) == looks(batch)


def test_images_are_placed_with_their_channels_last_and_rows_are_not() -> None:
    """The numbers are the same; nothing is lost of a mixed batch."""
    batch = varied(mixup=1.0).batch(0)

    placed = batch.to(torch.device("cpu"))

    assert placed.inputs[0].is_contiguous(memory_format=torch.channels_last)
    assert looks(placed) == looks(batch)


def test_where_data_is_scarce_a_batch_is_all_that_can_be_shared(task: Task) -> None:
    """Of 26 samples, 26 in one part and 24 in two parts on each of two processes; 26 parts and one more are refused."""
    whole = training_batches(task, Training(epochs=3, lr=1.0, batch_size=128), seed=0)
    shared = Training(epochs=1, lr=1.0, batch_size=128, accumulate=2)
    two = training_batches(task, shared, seed=0, world=World(rank=0, size=2))
    assert (whole.training.batch_size, whole.steps) == (26, 3)
    assert (two.training.batch_size, len(two.batch(0).samples)) == (24, 12)
    with pytest.raises(ConfigError, match="a step has 27 parts; the task has 26 training samples: take fewer"):
        training_batches(task, Training(epochs=1, lr=1.0, batch_size=27, accumulate=27), seed=0)


def test_a_batch_that_processes_and_parts_do_not_divide_is_refused(task: Task) -> None:
    """8 by 3 processes of 2 parts."""
    training = Training(epochs=1, lr=1.0, batch_size=8, accumulate=2)

    with pytest.raises(ConfigError, match=r"batch_size: 8 cannot be shared equally by 3 processes in 2 parts.*of 6"):
        training_batches(task, training, seed=0, world=World(size=3))


def test_batches_are_normalized_as_the_task_says(task: Task) -> None:
    """A batch of everything holds every training image once, each as the network will see it at the end."""
    still = Training(epochs=1, lr=1.0, batch_size=26, **STILL)

    (images,) = training_batches(task, still, seed=0).batch(0).inputs

    expected = torch.from_numpy(normalize(np.asarray(task.train.inputs[0]), task.inputs[0].preprocessing))
    assert sorted(images.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())


def two_inputs() -> Task:
    """Return a task of an image and a sensor window, both full of their sample's number."""
    numbers = np.arange(12)
    image = Preprocessing(scale=1.0, mean=(0.0,), std=(1.0,), layout="NCHW", channel_order="gray")
    window = msgspec.structs.replace(image, layout="NCL", channel_order="none")
    split = Split(
        inputs=(
            np.broadcast_to(numbers.astype(np.uint8)[:, None, None, None], (12, 1, 4, 4)).copy(),
            np.broadcast_to(numbers.astype(np.float32)[:, None, None], (12, 1, 5)).copy(),
        ),
        labels=numbers % 2,
    )
    inputs = (
        Input(name="image", shape=(1, 4, 4), preprocessing=image),
        Input(name="window", shape=(1, 5), preprocessing=window),
    )
    return make_task("both", inputs=inputs, labels=("even", "odd"), train=split, validation=split, test=split)


def test_inputs_that_are_no_images_are_left_as_they_are() -> None:
    """The window of each sample stays with its image, whatever is done to that."""
    training = Training(epochs=1, lr=1.0, batch_size=6, flip=True, crop=1)

    batch = training_batches(two_inputs(), training, seed=0).batch(1)

    assert numbers_in(batch.inputs[1]) == numbers_in(batch.inputs[0]) == batch.samples.tolist()


def test_all_inputs_of_a_sample_are_blended_alike() -> None:
    """Image and window hold the same number before, and after."""
    training = Training(epochs=1, lr=1.0, batch_size=12, mixup=1.0)

    batch = training_batches(two_inputs(), training, seed=0).batch(0)

    torch.testing.assert_close(batch.inputs[0].mean(dim=(1, 2, 3)), batch.inputs[1].mean(dim=(1, 2)))


def test_cutmix_is_refused_where_there_is_more_than_an_image() -> None:
    """The message says why."""
    training = Training(epochs=1, lr=1.0, batch_size=6, cutmix=1.0)

    with pytest.raises(ConfigError, match=r"cutmix: 1.0; it pastes images, and the task does not have one image"):
        training_batches(two_inputs(), training, seed=0)


def numbers_in(rows: Tensor) -> list[int]:
    """Return the number that each row is full of."""
    flat = rows.flatten(1)
    torch.testing.assert_close(flat, flat[:, :1].expand_as(flat))
    return [round(number) for number in flat[:, 0].tolist()]
