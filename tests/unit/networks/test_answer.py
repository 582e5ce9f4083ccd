"""What networks may answer with."""

from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.networks.answer import as_outputs, examples, logits_from, outputs_of


class Named(NamedTuple):
    """An answer with names."""

    logits: Tensor
    embedding: Tensor


class Sum(nn.Module):
    """Takes two inputs, gives their sum and difference."""

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Return both."""
        return [first + second, first - second]


FIRST, SECOND = torch.ones(2, 3), torch.zeros(2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        (FIRST, SECOND),
        [FIRST, SECOND],
        {"z": FIRST, "a": SECOND},
        OrderedDict(z=FIRST, a=SECOND),
        Named(logits=FIRST, embedding=SECOND),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_several_tensors_keep_their_order(answer: object) -> None:
    """In a tuple, a list or a mapping; names are not sorted."""
    found = as_outputs(answer, "Net")

    assert [id(tensor) for tensor in found] == [id(FIRST), id(SECOND)]


def test_one_tensor_is_one_output() -> None:
    """It is not taken apart into its rows."""
    (found,) = as_outputs(FIRST, "Net")

    assert found is FIRST


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        (None, "NoneType"),
        ("logits", "str"),
        ((), "nothing"),
        ({}, "nothing"),
        ((FIRST, None), "Tensor, NoneType"),
        ({"logits": FIRST, "hidden": (SECOND,)}, "Tensor, tuple"),
        ({FIRST}, "set"),
        (3.0, "float"),
    ],
)
def test_anything_else_is_refused_by_its_kinds(answer: object, kinds: str) -> None:
    """The message holds the network's name and what it answered with."""
    with pytest.raises(ConfigError, match=f"Net: answers with {kinds}; expected a tensor"):
        as_outputs(answer, "Net")


def test_inputs_are_given_in_their_order() -> None:
    """2 and 1: the sum is first, and it is what counts as logits."""
    inputs = (torch.tensor([2.0]), torch.tensor([1.0]))

    assert [tensor.item() for tensor in outputs_of(Sum(), inputs)] == [3, 1]
    assert logits_from(Sum(), inputs).item() == 3


def test_examples_are_zeros_of_each_shape() -> None:
    """The batch in front."""
    image, row = examples(((1, 2, 3), (4,)), batch=5)

    assert (image.shape, row.shape) == ((5, 1, 2, 3), (5, 4))
    assert not image.any()
    assert not row.any()
