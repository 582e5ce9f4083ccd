"""Learning from labels: cross-entropy by hand, smoothed and mixed."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.train.batches import Batch
from edgekd.train.supervised import Supervised, label_loss

LOGITS = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
"""Probabilities (1/4, 3/4) and (4/5, 1/5)."""


def batch(labels: list[int], *, others: list[int] | None = None, part: list[float] | None = None) -> Batch:
    """Return a batch with these labels whose inputs are ``LOGITS``."""
    return Batch(
        inputs=(LOGITS,),
        labels=torch.tensor(labels),
        other_labels=None if others is None else torch.tensor(others),
        part=None if part is None else torch.tensor(part),
        samples=np.arange(2),
        epoch=0,
    )


def test_cross_entropy_by_hand() -> None:
    """The mean of -ln 3/4 and -ln 4/5."""
    assert label_loss(LOGITS, batch([1, 0])).item() == pytest.approx(-(math.log(3 / 4) + math.log(4 / 5)) / 2)


def test_smoothing_spreads_a_part_of_the_target_over_all_classes() -> None:
    """A part of 0.2 over two classes: targets of 0.9 and 0.1."""
    first = -(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4))
    second = -(0.9 * math.log(4 / 5) + 0.1 * math.log(1 / 5))

    found = Supervised(nn.Identity(), label_smoothing=0.2)(batch([1, 0]))

    assert found.item() == pytest.approx((first + second) / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_samples_have_two_labels(smoothing: float) -> None:
    """0.7 of one and 0.3 of the other for the first sample; the second is its own partner, so the part is no matter."""
    own, other, second = (
        label_loss(LOGITS[row : row + 1], labels.cut(2)[row], label_smoothing=smoothing).item()
        for labels, row in ((batch([1, 0]), 0), (batch([0, 0]), 0), (batch([1, 0]), 1))
    )

    found = label_loss(LOGITS, batch([1, 0], others=[0, 0], part=[0.7, 0.4]), label_smoothing=smoothing)

    assert found.item() == pytest.approx((0.7 * own + 0.3 * other + second) / 2)


def test_narrow_logits_are_widened_first() -> None:
    """The loss of bfloat16 logits is that of the same numbers in float32."""
    narrow = LOGITS.to(torch.bfloat16)

    found = label_loss(narrow, batch([1, 0]))

    assert found.dtype == torch.float32
    assert found == label_loss(narrow.float(), batch([1, 0]))


class Several(nn.Module):
    """Answers with its input and more."""

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the rows twice, the second time for nothing."""
        return {"logits": rows, "more": rows * 0}


def test_of_several_answers_the_first_is_trained() -> None:
    """The others do not matter."""
    assert Supervised(Several())(batch([1, 0])) == label_loss(LOGITS, batch([1, 0]))
