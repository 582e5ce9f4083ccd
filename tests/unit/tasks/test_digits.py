"""The digits that come with edgekd: which images are in which split, and that they arrive unharmed."""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import edgekd
from edgekd.tasks.digits import SPLIT_RULE, load_digits, split_parts
from edgekd.tasks.making import make_task
from edgekd.tasks.task import Split, Task

# SHA-256 of the source's pixels and labels as tools/convert_digits.py printed it, see ORIGIN.md.
SOURCE_ARRAYS_SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"
ARCHIVE = Path(edgekd.__file__).parent / "data/digits/digits.npz"
PER_CLASS = {"train": 360, "validation": 40, "test": 100}


@pytest.fixture(scope="module")
def digits() -> Task:
    """Return the digits, loaded once for the tests of this file, which only read them."""
    return load_digits()


def images_of(split: Split) -> NDArray[np.uint8]:
    """Return the images of *split*, as they are stored."""
    images: NDArray[np.uint8] = split.inputs[0][:]
    return images


def digests_of(images: NDArray[np.uint8]) -> list[str]:
    """Return the SHA-256 of each image's bytes."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


@pytest.mark.parametrize("part", PER_CLASS)
def test_every_class_has_the_same_share_of_a_split(digits: Task, part: str) -> None:
    """4,000 and 1,000 images, 400 of the 4,000 for validation, each a tenth of every class."""
    counts = Counter(digits.splits[part].targets.tolist())

    assert counts == dict.fromkeys(range(10), PER_CLASS[part])


@pytest.mark.parametrize("part", PER_CLASS)
def test_split_holds_bytes_of_one_channel_and_int64_labels(digits: Task, part: str) -> None:
    """Images are stored as uint8 in NCHW, so that all 5,000 take 4 MB."""
    split = digits.splits[part]

    assert images_of(split).shape == (PER_CLASS[part] * 10, 1, 28, 28)
    assert images_of(split).dtype == np.uint8
    assert split.targets.shape == (len(split),)
    assert split.targets.dtype == np.int64


def test_no_image_is_in_two_splits_or_twice_in_one(digits: Task) -> None:
    """The 5,000 images are all different, so nothing that is tested was seen in training."""
    every_digest = [digest for split in digits.splits.values() for digest in digests_of(images_of(split))]

    assert len(every_digest) == 5000
    assert len(set(every_digest)) == 5000


@pytest.mark.parametrize("label", range(10))
def test_test_images_are_the_hundred_smallest_digests_of_their_class(digits: Task, label: int) -> None:
    """The rule in words, taken class by class: sort by digest; 100 test, 40 validation, 360 train."""
    found = {part: digests_of(images_of(split)[split.targets == label]) for part, split in digits.splits.items()}

    in_order = sorted(found["train"] + found["validation"] + found["test"])

    assert found == {"test": in_order[:100], "validation": in_order[100:140], "train": in_order[140:]}


def test_every_pixel_and_label_of_the_source_arrives(digits: Task) -> None:
    """Put back into classes and compared as a set, the splits are the source's images with their labels."""
    splits = digits.splits.values()
    images = np.concatenate([images_of(split) for split in splits])
    labels = np.concatenate([split.targets for split in splits]).astype(np.uint8)
    with np.load(ARCHIVE, allow_pickle=False) as source:
        source_images, source_labels = source["images"], source["labels"]

    source_bytes = source_images.tobytes() + source_labels.tobytes()

    assert hashlib.sha256(source_bytes).hexdigest() == SOURCE_ARRAYS_SHA256
    assert set(zip(digests_of(images), labels, strict=True)) == set(
        zip(digests_of(source_images), source_labels, strict=True)
    )


def test_split_does_not_depend_on_the_order_of_the_source() -> None:
    """The same images in reverse are split into the same images, in the same order."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (600, 4, 4), dtype=np.uint8)
    labels = np.arange(600).astype(np.uint8) % 2

    forwards, backwards = split_parts(images, labels), split_parts(images[::-1], labels[::-1])

    for part, indices in forwards.items():
        assert np.array_equal(images[indices], images[::-1][backwards[part]])


def test_digest_is_the_one_that_stored_results_were_made_with(digits: Task) -> None:
    """The digest is part of every key in the store: when it changes, all stored results are made anew.

    Change this line only together with the data, the split or the pre-processing.
    """
    assert digits.digest == "e2ed67c9ad85b2f8230123862d7b95aeed98156dfc4cdb3d779cbc64079030ff"


def test_digest_changes_with_one_pixel(digits: Task) -> None:
    """A task whose data differ in one pixel is another task."""
    images = images_of(digits.train).copy()
    images[0, 0, 0, 0] ^= 1
    changed = Split(inputs=(images,), labels=digits.train.labels)

    same, other = (
        make_task(
            "digits",
            inputs=digits.inputs,
            labels=digits.labels,
            split_rule=SPLIT_RULE,
            train=train,
            validation=digits.validation,
            test=digits.test,
        ).digest
        for train in (digits.train, changed)
    )

    assert same == digits.digest
    assert other != digits.digest


def test_normalized_training_pixels_have_about_mean_0_and_deviation_1(digits: Task) -> None:
    """The numbers of MNIST's 60,000 training images also fit its subset."""
    pixels = digits.read(digits.train, slice(None))[0]

    assert abs(float(pixels.mean())) < 0.02
    assert abs(float(pixels.std()) - 1) < 0.02


def test_loading_the_digits_does_not_import_torch() -> None:
    """Commands that only describe a task answer before torch is loaded."""
    program = (
        "import sys; from edgekd.tasks.digits import load_digits; load_digits(); "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'scipy'} & set(sys.modules)))"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[]"
