"""What a teacher said is computed once: found again by what it depends on, and made again only where it is damaged."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from samples import image_task
from torch import Tensor

from edgekd.distill.guidance import Guidance
from edgekd.distill.logit_cache import LogitCache, cache_key
from edgekd.distill.packing import packing_for
from edgekd.distill.teacher import Teacher, load_teacher
from edgekd.networks.layout import GRAPH, WEIGHTS
from edgekd.tasks.task import Task
from edgekd.train.batches import Batches, training_batches

GuidanceOf = Callable[..., Guidance]
VARIED = {"shift": 0.1, "flip": True}
SIZE = packing_for(5).row_bytes


@pytest.fixture
def teacher(teacher_folder: Path) -> Teacher:
    """Give the teacher in the folder."""
    return load_teacher(teacher_folder)


def all_logits(cache: LogitCache, batches: Batches) -> dict[tuple[int, int], Tensor]:
    """Return what *cache* gives in all steps, by epoch and sample."""
    found = {}
    for step in range(batches.steps):
        batch = batches.batch(step)
        for sample, row in zip(batch.samples.tolist(), cache.logits(batch), strict=True):
            found[batch.epoch, sample] = row
    return found


def equal(first: dict[tuple[int, int], Tensor], second: dict[tuple[int, int], Tensor]) -> bool:
    """Tell whether all logits of the two are there in both, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(row, second[place]) for place, row in first.items())


@pytest.mark.parametrize(
    "change",
    [
        {"shift": 0.1},
        {"flip": True},
        {"rotation": 1.0},
        {"scale": 0.1},
        {"shear": 0.1},
        {"crop": 1},
        {"brightness": 0.1},
        {"contrast": 0.1},
        {"saturation": 0.1},
        {"mixup": 0.2},
        {"cutmix": 1.0},
    ],
)
def test_every_setting_of_the_augmentation_is_another_cache(
    task: Task, teacher: Teacher, guided: GuidanceOf, change: dict[str, object]
) -> None:
    """The teacher sees other images: what it said of the first ones is of no use."""
    before = training_batches(task, guided(), seed=0)
    after = training_batches(task, guided(**change), seed=0)

    assert cache_key(teacher, after) != cache_key(teacher, before)


def test_every_field_of_the_augmentation_is_in_the_test_above() -> None:
    """None enters the settings without being in the key."""
    asked = {"shift", "rotation", "scale", "shear", "crop", "flip", "brightness", "contrast", "saturation"}

    assert asked | {"mixup", "cutmix"} == set(Guidance(epochs=1, lr=0.1).augmentation.__struct_fields__)


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH])
def test_one_bit_of_the_teachers_file_is_another_cache(
    task: Task, teacher_folder: Path, guided: GuidanceOf, tmp_path: Path, name: str
) -> None:
    """Full digests: the last bit of the last byte counts."""
    shutil.copytree(teacher_folder, tmp_path / "changed")
    content = bytearray((tmp_path / "changed" / name).read_bytes())
    content[-1 if name == WEIGHTS else len(content) // 2] ^= 1
    (tmp_path / "changed" / name).write_bytes(content)
    batches = training_batches(task, guided(), seed=0)

    assert cache_key(load_teacher(tmp_path / "changed"), batches) != cache_key(load_teacher(teacher_folder), batches)


def test_one_pixel_and_the_seed_are_another_cache(task: Task, teacher: Teacher, guided: GuidanceOf) -> None:
    """The data counts by its bytes, the seed because it draws the views."""
    settings = guided(**VARIED)
    key = cache_key(teacher, training_batches(task, settings, seed=0))
    images = np.array(task.train.inputs[0])
    images[-1, -1, -1, -1] ^= 1
    changed = image_task(images, task.train.targets, classes=5)

    assert cache_key(teacher, training_batches(task, settings, seed=1)) != key
    assert cache_key(teacher, training_batches(changed, settings, seed=0)) != key


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 16},
        {"epochs": 9},
        {"lr": 0.5},
        {"optimizer": "adamw"},
        {"alpha": 0.5},
        {"temperature": 7.0},
        {"kl_weight": 2.0},
        {"dkd_weight": 1.0},
        {"accumulate": 2},
        {"weight_decay": 0.0},
    ],
)
def test_how_the_student_learns_is_the_same_cache(
    task: Task, teacher: Teacher, guided: GuidanceOf, change: dict[str, object]
) -> None:
    """Student, target, optimizer and loss are not among what the teacher's answers depend on."""
    before = training_batches(task, guided(), seed=0)
    after = training_batches(task, guided(**change), seed=0)

    assert cache_key(teacher, after) == cache_key(teacher, before)


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4}, {"cutmix": 1.0}])
def test_the_first_pass_computes_and_the_second_finds_the_same_bits(
    task: Task, teacher: Teacher, guided: GuidanceOf, tmp_path: Path, mixing: dict[str, float]
) -> None:
    """Two epochs of 48 samples are 96 rows: all computed, then none; a run that finds them trains on equal numbers."""
    batches = training_batches(task, guided(**VARIED, **mixing), seed=0)
    first, second = LogitCache(tmp_path, teacher, batches), LogitCache(tmp_path, teacher, batches)

    made, found = all_logits(first, batches), all_logits(second, batches)

    assert (first.computed, first.reused) == (96, 0)
    assert (second.computed, second.reused) == (0, 96)
    assert equal(made, found)


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4}, {"cutmix": 1.0}])
def test_what_is_kept_is_what_the_teacher_says_of_the_same_view(
    task: Task, teacher: Teacher, guided: GuidanceOf, tmp_path: Path, mixing: dict[str, float]
) -> None:
    """Augmented, mixed, in its epoch: within float16 of the live logits minus their largest."""
    batches = training_batches(task, guided(**VARIED, **mixing), seed=3)
    cache = LogitCache(tmp_path, teacher, batches)
    all_logits(cache, batches)

    for step in (0, 7, 11):
        batch = batches.batch(step)
        live = teacher.answer(batch.inputs).logits
        relative = live - live.amax(1, keepdim=True)
        np.testing.assert_allclose(cache.logits(batch), relative, rtol=2**-11 + 1e-5, atol=1e-5)


def test_another_epoch_is_another_view_in_another_file(
    task: Task, teacher: Teacher, guided: GuidanceOf, tmp_path: Path
) -> None:
    """Each epoch has a file with a row for each sample; the same sample has other logits in it."""
    batches = training_batches(task, guided(**VARIED), seed=0)
    cache = LogitCache(tmp_path, teacher, batches)

    found = all_logits(cache, batches)

    files = sorted(path.name for path in cache.folder.iterdir())
    assert files == ["epoch-00000.rows", "epoch-00001.rows"]
    assert [(cache.folder / name).stat().st_size for name in files] == [48 * SIZE] * 2
    assert any(not torch.equal(found[0, sample], found[1, sample]) for sample in range(48))


def test_another_batch_size_and_order_find_every_row(
    task: Task, teacher: Teacher, guided: GuidanceOf, tmp_path: Path
) -> None:
    """A row belongs to a sample in an epoch, not to a place in a batch."""
    settings = guided(**VARIED)
    small = training_batches(task, settings, seed=0)
    large = training_batches(task, msgspec.structs.replace(settings, batch_size=24), seed=0)
    made = all_logits(LogitCache(tmp_path, teacher, small), small)
    cache = LogitCache(tmp_path, teacher, large)

    found = all_logits(cache, large)
    backwards = cache.logits(large.view(np.arange(47, -1, -1), 1))

    assert (cache.computed, cache.reused) == (0, 96 + 48)
    assert equal(made, found)
    assert all(torch.equal(backwards[47 - sample], made[1, sample]) for sample in range(48))


def test_parts_of_a_batch_find_their_own_rows(task: Task, teacher: Teacher, guided: GuidanceOf, tmp_path: Path) -> None:
    """Gradient accumulation cuts batches; so do more epochs than anybody had before add to what is there."""
    batches = training_batches(task, guided(), seed=0)
    cache = LogitCache(tmp_path, teacher, batches)
    whole = cache.logits(batches.batch(0))

    parts = [cache.logits(part) for part in batches.batch(0).cut(2)]

    assert torch.equal(torch.cat(parts), whole)
    assert (cache.computed, cache.reused) == (8, 8)


@pytest.mark.parametrize("cut", [1, SIZE // 2, SIZE - 1])
def test_a_writer_that_was_killed_in_a_row_costs_that_row(
    task: Task, teacher: Teacher, guided: GuidanceOf, tmp_path: Path, cut: int
) -> None:
    """The file ends in the middle of its last row: one sample is computed again, and everything is as before."""
    batches = training_batches(task, guided(epochs=1), seed=0)
    cache = LogitCache(tmp_path, teacher, batches)
    made = all_logits(cache, batches)
    file = cache.folder / "epoch-00000.rows"
    file.write_bytes(file.read_bytes()[: 48 * SIZE - cut])
    again = LogitCache(tmp_path, teacher, batches)

    found = all_logits(again, batches)

    assert (again.computed, again.reused) == (1, 47)
    assert equal(made, found)
    assert file.stat().st_size == 48 * SIZE


def test_damage_costs_the_rows_that_it_hits(task: Task, teacher: Teacher, guided: GuidanceOf, tmp_path: Path) -> None:
    """A flipped bit in row 5, row 20 half written, the file cut before row 45: five rows of 48."""
    batches = training_batches(task, guided(epochs=1), seed=0)
    cache = LogitCache(tmp_path, teacher, batches)
    made = all_logits(cache, batches)
    file = cache.folder / "epoch-00000.rows"
    content = bytearray(file.read_bytes()[: 45 * SIZE])
    content[5 * SIZE + 7] ^= 16
    content[20 * SIZE + SIZE // 2 : 21 * SIZE] = bytes(SIZE - SIZE // 2)
    file.write_bytes(content)
    again = LogitCache(tmp_path, teacher, batches)

    found = all_logits(again, batches)

    assert (again.computed, again.reused) == (5, 43)
    assert equal(made, found)
    assert all_logits(again, batches).keys() == found.keys()
    assert again.computed == 5


@pytest.mark.parametrize("content", [b"", b"rubbish"])
def test_a_file_of_rubbish_is_an_empty_one(
    task: Task, teacher: Teacher, guided: GuidanceOf, tmp_path: Path, content: bytes
) -> None:
    """Nothing in it is believed."""
    batches = training_batches(task, guided(epochs=1), seed=0)
    cache = LogitCache(tmp_path, teacher, batches)
    cache.folder.mkdir(parents=True)
    (cache.folder / "epoch-00000.rows").write_bytes(content)

    all_logits(cache, batches)

    assert (cache.computed, cache.reused) == (48, 0)


def test_both_kinds_of_teacher_are_kept_apart(
    task: Task, teacher_folder: Path, onnx_folder: Path, guided: GuidanceOf
) -> None:
    """A network and its ONNX graph agree but for rounding, so each has rows of its own."""
    batches = training_batches(task, guided(), seed=0)

    assert cache_key(load_teacher(teacher_folder), batches) != cache_key(load_teacher(onnx_folder), batches)
