"""The hint loss and its adapter."""

import pytest
import torch
from torch import Tensor

from edgekd.core.errors import ConfigError
from edgekd.distill.features import FeatureMatcher, feature_loss

MIXTURE = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, -1.0]])


def drawn(*shape: int, seed: int) -> Tensor:
    """Return normally distributed numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def identity(*shape: int, tokens: bool = False) -> FeatureMatcher:
    """Return a matcher of features of *shape* whose adapter gives what it takes."""
    matcher = FeatureMatcher(shape, shape, tokens=tokens)
    weight = matcher.adapter.weight
    with torch.no_grad():
        weight.copy_(torch.eye(weight.shape[0]).reshape(weight.shape))
    return matcher


def test_the_feature_loss_is_the_mean_square_of_the_difference() -> None:
    """(1 + 4 + 0 + 9) / 4 by hand."""
    student = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    teacher = torch.tensor([[0.0, 4.0], [3.0, 1.0]])

    assert feature_loss(student, teacher).item() == 3.5


def test_features_of_two_shapes_are_refused() -> None:
    """Also where torch would broadcast."""
    with pytest.raises(ConfigError, match=r"features: the student's are \(2, 3\) and the teacher's \(2, 1\)"):
        feature_loss(torch.ones(2, 3), torch.ones(2, 1))


@pytest.mark.parametrize("larger", ["student", "teacher"])
def test_the_larger_map_is_pooled_to_the_smaller(larger: str) -> None:
    """Four pixels 1, 2, 3, 6 have the mean 3; against one pixel of 5 the squared difference is 4."""
    four, one = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), torch.tensor([[[[5.0]]]])
    student, teacher = (four, one) if larger == "student" else (one, four)

    assert identity(1, 1, 2, 2)(student, teacher).item() == 4


@pytest.mark.parametrize("larger", ["student", "teacher"])
def test_the_longer_sequence_is_pooled_to_the_shorter(larger: str) -> None:
    """1, 2, 3, 6 pooled to two have the means 1.5 and 4.5; against 1.5 and 2.5 the squares are 0 and 4."""
    long, short = torch.tensor([[[1.0, 2.0, 3.0, 6.0]]]), torch.tensor([[[1.5, 2.5]]])
    student, teacher = (long, short) if larger == "student" else (short, long)

    assert identity(1, 1, 4)(student, teacher).item() == 2


def test_each_side_of_a_map_is_pooled_by_itself() -> None:
    """A wide student and a tall teacher meet at the smaller height and the smaller width."""
    wide, tall = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[1.0], [5.0]]]])

    assert identity(1, 1, 1, 2)(wide, tall).item() == 1


@pytest.mark.parametrize(
    ("shape", "tokens"), [((2, 3), False), ((2, 3, 5), False), ((2, 3, 4, 5), False), ((2, 5, 3), True)]
)
def test_equal_features_through_an_identity_cost_nothing(shape: tuple[int, ...], *, tokens: bool) -> None:
    """No pooling where the sizes agree."""
    features = drawn(*shape, seed=0)

    assert identity(*shape, tokens=tokens)(features, features).item() == 0


@pytest.mark.parametrize(
    ("student_shape", "mix", "tokens"),
    [
        ((8, 2), "oc,bc->bo", False),
        ((8, 2, 6), "oc,bcl->bol", False),
        ((8, 2, 3, 3), "oc,bchw->bohw", False),
        ((8, 6, 2), "oc,bnc->bno", True),
    ],
)
def test_the_adapter_learns_to_bridge_two_widths(student_shape: tuple[int, ...], mix: str, *, tokens: bool) -> None:
    """A teacher whose channels are mixtures of the student's: the adapter alone finds the mixture."""
    student = drawn(*student_shape, seed=0)
    teacher = torch.einsum(mix, MIXTURE, student)
    matcher = FeatureMatcher(student.shape, teacher.shape, tokens=tokens)
    optimizer = torch.optim.SGD(matcher.parameters(), lr=0.5)

    for _ in range(200):
        optimizer.zero_grad()
        matcher(student, teacher).backward()
        optimizer.step()

    torch.testing.assert_close(matcher.adapter.weight.detach().flatten(1), MIXTURE, atol=1e-3, rtol=0)


def test_the_shape_alone_does_not_tell_tokens_from_a_sequence() -> None:
    """The same example shape gives an adapter over the last dimension, or over the second."""
    shape = (2, 5, 3)

    assert FeatureMatcher(shape, shape, tokens=True).adapter.weight.shape == (3, 3)
    assert FeatureMatcher(shape, shape).adapter.weight.shape == (5, 5, 1)


def test_the_student_feels_the_loss_and_the_teacher_does_not() -> None:
    """Gradients reach the student's features and the adapter."""
    student, teacher = torch.rand(1, 2, 4, 4, requires_grad=True), torch.rand(1, 3, 2, 2, requires_grad=True)
    matcher = FeatureMatcher(student.shape, teacher.shape)

    matcher(student, teacher).backward()

    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert matcher.adapter.weight.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize(
    ("student", "teacher", "tokens"),
    [
        ((2, 3, 4, 4), (2, 3), False),
        ((2, 3, 4, 4, 4), (2, 3, 4, 4, 4), False),
        ((2, 3, 4, 4), (2, 16, 3), True),
        ((2, 5, 3), (2, 6, 3), True),
        ((2,), (2,), False),
    ],
)
def test_features_that_do_not_compare_are_refused(
    student: tuple[int, ...], teacher: tuple[int, ...], *, tokens: bool
) -> None:
    """Other kinds, other token counts, and kinds that nobody knows."""
    with pytest.raises(
        ConfigError, match=r"features: the student's are \(.*\) and the teacher's \(.*\); expected \(batch"
    ):
        FeatureMatcher(student, teacher, tokens=tokens)
