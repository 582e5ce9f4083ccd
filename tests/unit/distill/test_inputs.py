"""What the losses refuse, and the precision they compute in."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from edgekd.core.errors import ConfigError
from edgekd.distill.attention import attention_map_loss, attention_transfer_loss
from edgekd.distill.features import FeatureMatcher, feature_loss
from edgekd.distill.losses import (
    correlation_loss,
    decoupled_loss,
    soft_target_loss,
    standardized,
)

LABELS = torch.tensor([0, 2, 1, 1])

LossOfTwo = Callable[[Tensor, Tensor], Tensor]

LOGIT_LOSSES: dict[str, LossOfTwo] = {
    "soft targets": lambda mine, theirs: soft_target_loss(mine, theirs, temperature=4.0),
    "standardized": lambda mine, theirs: soft_target_loss(standardized(mine), standardized(theirs), temperature=2.0),
    "decoupled": lambda mine, theirs: decoupled_loss(mine, theirs, LABELS, temperature=4.0),
    "correlation": lambda mine, theirs: correlation_loss(mine, theirs, temperature=4.0),
}

FEATURE_LOSSES: dict[str, LossOfTwo] = {
    "features": feature_loss,
    "attention transfer": lambda mine, theirs: attention_transfer_loss([mine], [theirs]),
    "attention maps": attention_map_loss,
}

SHAPES: dict[str, tuple[int, ...]] = dict.fromkeys(LOGIT_LOSSES, (4, 3)) | dict.fromkeys(FEATURE_LOSSES, (2, 3, 4, 4))
LOSSES = LOGIT_LOSSES | FEATURE_LOSSES


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return normally distributed numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_single(name: str, dtype: torch.dtype) -> None:
    """The loss is, bit for bit, that of the same numbers in float32; the gradient comes back in half precision."""
    mine, theirs = (drawn(SHAPES[name], seed).to(dtype) for seed in (1, 2))
    student = mine.clone().requires_grad_()

    loss = LOSSES[name](student, theirs)
    (gradient,) = torch.autograd.grad(loss, student)

    assert loss.dtype == torch.float32
    assert torch.equal(loss, LOSSES[name](mine.float(), theirs.float()))
    assert gradient.dtype == dtype


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_does_not_lower_the_precision_of_a_loss(name: str) -> None:
    """Inside automatic mixed precision the loss of single-precision inputs is the same number."""
    mine, theirs = (drawn(SHAPES[name], seed) for seed in (1, 2))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = LOSSES[name](mine, theirs)

    assert found.dtype == torch.float32
    assert torch.equal(found, LOSSES[name](mine, theirs))


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_flows_to_the_student_only(name: str) -> None:
    """Even to a teacher that was not frozen."""
    student, teacher = (drawn(SHAPES[name], seed).requires_grad_() for seed in (1, 2))

    mine, theirs = torch.autograd.grad(LOSSES[name](student, teacher), (student, teacher), allow_unused=True)

    assert mine.abs().sum() > 0
    assert theirs is None


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    "loss",
    [
        lambda z, t: soft_target_loss(z, z, temperature=t),
        lambda z, t: decoupled_loss(z, z, LABELS, temperature=t),
        lambda z, t: correlation_loss(z, z, temperature=t),
    ],
)
def test_a_temperature_that_softens_nothing_is_refused(
    loss: Callable[[Tensor, float], Tensor], temperature: float
) -> None:
    """Zero divides by zero, a negative one turns the teacher's order round."""
    with pytest.raises(ValueError, match=r"temperature: .* given; expected a finite number more than 0\."):
        loss(drawn((4, 3), 1), temperature)


@pytest.mark.parametrize(
    "shapes", [((4, 3), (4, 1)), ((4, 3), (1, 3)), ((4, 3), (4, 5)), ((4, 1), (4, 1)), ((3,), (3,))]
)
@pytest.mark.parametrize("name", LOGIT_LOSSES)
def test_logits_that_do_not_compare_are_refused(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Also where torch would broadcast one to the other without a word."""
    mine, theirs = (drawn(shape, 1) for shape in shapes)

    with pytest.raises(
        ConfigError, match=r"logits: the student gives \(.*\) and the teacher \(.*\); expected \(batch, "
    ):
        LOGIT_LOSSES[name](mine, theirs)


@pytest.mark.parametrize("labels", [torch.eye(4, 3), torch.tensor([0, 1]), torch.tensor([0.0, 1.0, 2.0, 1.0])])
def test_labels_that_are_no_class_numbers_are_refused_by_the_decoupled_loss(labels: Tensor) -> None:
    """It needs one class to set apart; mixed labels have none."""
    logits = drawn((4, 3), 1)

    with pytest.raises(
        ConfigError, match=r"labels: .*; the decoupled loss needs one class number for each of 4 samples"
    ):
        decoupled_loss(logits, logits, labels, temperature=4.0)


def test_a_matcher_takes_half_precision() -> None:
    """Its adapter is in single precision, and so is its loss."""
    features = drawn((2, 3, 4, 4), 1).half()

    assert FeatureMatcher((2, 3, 4, 4), (2, 3, 4, 4))(features, features).dtype == torch.float32
