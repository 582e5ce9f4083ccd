"""Attention losses as pure functions: spatial maps of CNNs, and the attention maps of transformers per head."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from edgekd.core.errors import ConfigError
from edgekd.distill.inputs import single, target

_DIMENSIONS = 4


def attention_transfer_loss(students: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
    """Return the attention transfer loss: squared differences of normalized spatial maps, summed over pairs.

    ``Σ_pairs mean((Q_s / ‖Q_s‖₂ - Q_t / ‖Q_t‖₂)²)`` with ``Q = vec(mean_channels F²)`` of one sample; the mean goes
    over batch · height · width. Shapes: each F is (batch, channels, height, width); channels may differ, and the
    larger map is average-pooled to the smaller size first, feature by feature. A map that is all zeros stays zero
    and gets no gradient. Published with weight 1000 (Zagoruyko and Komodakis 2017); with a sum in place of the
    mean that weight would be far too large. Take the outputs of whole stages after their ReLU.
    Raises ConfigError where the maps do not pair.
    """
    if len(students) != len(teachers) or not students:
        message = f"attention transfer: {len(students)} maps of the student and {len(teachers)} of the teacher given; "
        raise ConfigError(message + "expected at least one, and as many of each.")
    return torch.stack([_transfer(*pair) for pair in zip(students, teachers, strict=True)]).sum()


def attention_map_loss(student: Tensor, teacher: Tensor, *, heads: Sequence[Sequence[int]] | None = None) -> Tensor:
    """Return ``1/(N·H) Σ ‖A - S‖²`` of attention maps.

    H is the number of the student's heads, N the number of entries of one head's map over the batch
    (batch · queries · keys): the mean squared error of each head, averaged over heads. S is a student's head, A the
    mean of the teacher's heads that *heads* names for it, by default those of `head_mapping`. Shapes: both
    (batch, heads, queries, keys), all equal but the heads (the form of TinyBERT's attention loss, Jiao et al.
    2020, on probabilities or on scores, whichever is tapped). Raises ConfigError where the tokens differ in
    number and where *heads* does not fit.
    """
    _ensure_comparable(student, teacher)
    groups = head_mapping(student.shape[1], teacher.shape[1]) if heads is None else heads
    _ensure_heads(groups, student.shape[1], teacher.shape[1])
    followed = target(teacher)
    averaged = torch.stack([followed[:, list(group)].mean(dim=1) for group in groups], dim=1)
    return F.mse_loss(single(student), averaged)


def head_mapping(student_heads: int, teacher_heads: int) -> tuple[tuple[int, ...], ...]:
    """Return for each student head the teacher heads that it follows; it learns their mean.

    Student head i covers the share [i/s, (i+1)/s) of the teacher's heads and follows every head that this touches:
    itself where the counts agree, consecutive groups where the teacher has a multiple, the same head for
    consecutive student heads where the student has a multiple, and otherwise an even spread in which neighbours
    share the head that falls between them. No teacher head is left out. Raises ValueError for counts below 1.
    """
    if min(student_heads, teacher_heads) < 1:
        message = f"attention heads: {student_heads} and {teacher_heads} given; expected at least one on each side."
        raise ValueError(message)
    return tuple(
        tuple(range(i * teacher_heads // student_heads, -(-(i + 1) * teacher_heads // student_heads)))
        for i in range(student_heads)
    )


def _transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the loss of one pair of feature maps."""
    if student.ndim != _DIMENSIONS or teacher.ndim != _DIMENSIONS or student.shape[0] != teacher.shape[0]:
        message = (
            f"attention transfer: the student's map is {tuple(student.shape)} and the teacher's {tuple(teacher.shape)};"
            " expected (batch, channels, height, width) of one batch."
        )
        raise ConfigError(message)
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return F.mse_loss(_spatial_attention(single(student), size), _spatial_attention(target(teacher), size))


def _spatial_attention(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the normalized energy (batch, height · width) of feature maps pooled to *size*."""
    energy = F.adaptive_avg_pool2d(features, size).square().mean(dim=1)
    return F.normalize(energy.flatten(1), dim=1)


def _ensure_comparable(student: Tensor, teacher: Tensor) -> None:
    """Raise ConfigError unless both are attention maps that differ in nothing but their heads."""
    mine, theirs = tuple(student.shape), tuple(teacher.shape)
    if len(mine) != _DIMENSIONS or len(theirs) != _DIMENSIONS or (mine[0], *mine[2:]) != (theirs[0], *theirs[2:]):
        message = (
            f"attention maps: the student's are {mine} and the teacher's {theirs}; expected (batch, heads, queries, "
            "keys) with as many tokens in both. nn.MultiheadAttention gives heads only with "
            "average_attn_weights=False; for unequal token counts leave the attention loss out."
        )
        raise ConfigError(message)


def _ensure_heads(groups: Sequence[Sequence[int]], student_heads: int, teacher_heads: int) -> None:
    """Raise ConfigError unless *groups* names for each student head at least one head that the teacher has."""
    known = range(teacher_heads)
    if len(groups) != student_heads or not all(group and all(head in known for head in group) for group in groups):
        message = (
            f"attention heads: {[list(group) for group in groups]} given; expected {student_heads} lists, one for each "
            f"of the student's heads, with numbers from 0 to {teacher_heads - 1} of the teacher's."
        )
        raise ConfigError(message)
