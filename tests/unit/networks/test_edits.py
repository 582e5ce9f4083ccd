"""Edits: what they record, what they rebuild, and what they refuse."""

import msgspec
import pytest
import torch
from torch import nn

from edgekd.core.errors import ConfigError, StageError
from edgekd.core.strict import convert
from edgekd.networks.edits import Factorize, Resize, apply_edits, replace_module, resizes_between, structure_of


def small() -> nn.Sequential:
    """Return a convolution, its norm and a classifier."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def test_equal_structures_need_no_edit() -> None:
    """Other weights are no other structure."""
    assert resizes_between(small(), small()) == ()


def test_what_changed_is_recorded_for_each_module_and_nothing_else() -> None:
    """A convolution with three of four channels: its width, its two tensors, no other module's."""
    cut = small()
    replace_module(cut, "0", nn.Conv2d(1, 3, 3))

    assert resizes_between(small(), cut) == (
        Resize(path="0", attributes={"out_channels": 3}, shapes={"weight": (3, 1, 3, 3), "bias": (3,)}),
    )


def test_edits_rebuild_the_structure() -> None:
    """Apply what lies between two structures to the first: nothing lies between them any more."""
    whole, cut = small(), small()
    for path, layer in (("0", nn.Conv2d(1, 3, 3)), ("1", nn.BatchNorm2d(3)), ("3", nn.Linear(3, 2))):
        replace_module(cut, path, layer)

    apply_edits(whole, resizes_between(whole, cut))

    assert resizes_between(whole, cut) == ()
    whole.load_state_dict(cut.state_dict())
    images = torch.rand(2, 1, 3, 3)
    assert torch.equal(whole.eval()(images), cut.eval()(images))


def test_a_resized_parameter_is_trained_as_before() -> None:
    """A frozen parameter stays frozen, a free one free, a buffer a buffer."""
    network = small()
    network[0].weight.requires_grad = False

    apply_edits(network, [Resize(path="0", attributes={}, shapes={"weight": (3, 1, 3, 3), "bias": (3,)})])
    apply_edits(network, [Resize(path="1", attributes={}, shapes={"running_mean": (3,)})])

    assert [network[0].weight.requires_grad, network[0].bias.requires_grad] == [False, True]
    assert "running_mean" in dict(network[1].named_buffers())


def test_a_structure_keeps_its_shape_when_the_network_is_cut() -> None:
    """The copy to compare with shares nothing with the network."""
    network = small()
    before = structure_of(network)

    apply_edits(network, [Factorize(path="3", rank=1)])

    assert isinstance(before.get_submodule("3"), nn.Linear)
    assert isinstance(network.get_submodule("3"), nn.Sequential)


def test_structures_with_other_modules_are_refused() -> None:
    """Edits of sizes cannot make a module come or go."""
    with pytest.raises(StageError, match=r"module paths differ: \['3'\]"):
        resizes_between(small(), small()[:3])


def test_a_buffer_that_is_not_saved_must_not_change() -> None:
    """Its values would be lost: the rebuilt network would answer otherwise."""
    before, after = nn.Module(), nn.Module()
    before.register_buffer("grid", torch.zeros(4), persistent=False)
    after.register_buffer("grid", torch.zeros(3), persistent=False)

    with pytest.raises(StageError, match=r"grid: a buffer that is not saved changed its shape"):
        resizes_between(before, after)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Resize(path="5", attributes={}, shapes={}), "edit of '5': Sequential has no such module"),
        (Factorize(path="head", rank=1), "edit of 'head': Sequential has no such module"),
        (Factorize(path="0", rank=1), "cannot factorize: kernel 3x3"),
        (Resize(path="0", attributes={"out_chanels": 3}, shapes={}), "edit of '0': Conv2d has no size 'out_chanels'"),
        (Resize(path="0", attributes={"forward": 3}, shapes={}), "edit of '0': Conv2d has no size 'forward'"),
        (Resize(path="0", attributes={}, shapes={"gamma": (3,)}), "edit of '0': Conv2d has no tensor 'gamma'"),
    ],
)
def test_an_edit_of_another_network_is_refused(edit: Resize | Factorize, message: str) -> None:
    """Each names the path and what is missing there."""
    with pytest.raises(ConfigError, match=message):
        apply_edits(small(), [edit])


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"type": "factorize", "path": "3", "rank": 0}, "rank: 0 given"),
        ({"type": "resize", "path": "0", "attributes": {}, "shapes": {"weight": [-1]}}, "shapes"),
        ({"type": "resize", "path": "0", "attributes": {"groups": 1.5}, "shapes": {}}, "attributes"),
    ],
)
def test_sizes_that_no_network_has_are_refused_when_read(edit: dict[str, object], field: str) -> None:
    """A rank of zero or a negative length stops at the file, not inside torch."""
    with pytest.raises(ConfigError, match=field):
        convert(edit, Resize | Factorize, where="network.json")  # type: ignore[arg-type]  # a union is a type to msgspec


def test_edits_survive_json() -> None:
    """Tuples, integers and the kind of edit come back as they were."""
    edits = (
        Resize(path="0", attributes={"kernel_size": (3, 3), "out_channels": 3}, shapes={"weight": (3, 1, 3, 3)}),
        Factorize(path="3", rank=1),
    )

    assert msgspec.json.decode(msgspec.json.encode(edits), type=tuple[Resize | Factorize, ...]) == edits
