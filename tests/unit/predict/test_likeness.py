"""Likeness: networks alike correct an estimate, strangers do not."""

from typing import Final

import msgspec
import numpy as np
import pytest

from edgekd.predict.likeness import corrections, distances, makeup, typical_errors
from edgekd.predict.published import networks

NAMES: Final = ("mobilenet", "mobilenet_v2", "mnasnet", "squeezenet", "vgg16", "vision_transformer")
MAKEUPS: Final = np.array([makeup(networks()[name]) for name in NAMES])


def test_a_network_is_at_no_distance_from_itself_whatever_its_layers_are_called() -> None:
    """Makeup is of amounts; names and order have no say."""
    renamed = [msgspec.structs.replace(layer, name=f"other {layer.name}") for layer in networks()["mobilenet"]]
    distance = distances(makeup(renamed[::-1])[None], MAKEUPS)[0]
    assert distance[0] == pytest.approx(0)
    assert (distance[1:] > 0.1).all()


def test_networks_of_one_kind_of_block_are_nearest() -> None:
    """MnasNet is made of MobileNetV2's blocks, and like neither VGG nor a transformer."""
    distance = dict(zip(NAMES, distances(MAKEUPS, MAKEUPS)[NAMES.index("mnasnet")], strict=True))
    del distance["mnasnet"]
    assert min(distance, key=distance.__getitem__) == "mobilenet_v2"
    assert min(distance["vgg16"], distance["vision_transformer"]) > 1.2


def test_shares_of_time_and_sizes_add_to_a_distance() -> None:
    """Two published networks a spread of one apart in each size: (2/1)^2; shares that have nothing in common: 8 * 2."""
    published = np.zeros((2, 8))
    published[0, :6], published[1, :6] = -1, 1
    published[0, 6], published[1, 7] = 1, 1
    assert distances(published, published) == pytest.approx(np.array([[0, 20], [20, 0]]))


def test_a_correction_is_a_mean_of_errors_by_likeness_drawn_to_none() -> None:
    """Weights 1 and (1 - 0.5)^2, doubt 0.75, an error that is not known and one that is too large to be believed."""
    distance = np.array([[0.0, 0.5, 0.0, 1.0]])
    errors = np.array([0.2, -1.0, np.nan, 0.3])
    expected = (1 * 0.2 + 0.25 * -0.4) / (0.75 + 1.25)
    assert corrections(distance, errors, radius=1, doubt=0.75) == pytest.approx([expected])


def test_a_stranger_is_not_corrected() -> None:
    """Nor is anything where no errors are known."""
    assert corrections(np.full((1, 3), 1e3), np.array([0.1, 0.2, 0.3])) == [0]
    assert corrections(np.zeros((1, 2)), np.full(2, np.nan)) == [0]


def test_a_typical_error_is_the_median_of_groups_that_have_the_network() -> None:
    """NaN where none has."""
    errors = np.array([[0.1, np.nan, np.nan], [0.3, 0.2, np.nan], [0.2, np.nan, np.nan]])
    assert typical_errors(errors) == pytest.approx([0.2, 0.2, np.nan], nan_ok=True)
