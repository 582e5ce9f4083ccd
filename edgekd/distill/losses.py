"""Distillation losses on logits, as pure functions.

z are logits, T the temperature, p = softmax(z_student / T), q = softmax(z_teacher / T). All compute in float32
where they are given half precision, and none sends a gradient to the teacher.
"""

from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from edgekd.distill.inputs import (
    ensure_class_numbers,
    ensure_logits,
    ensure_temperature,
    single,
    target,
)

_STANDARD_EPSILON: Final = 1e-7
_CORRELATION_EPSILON: Final = 1e-8


def soft_target_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return KL(teacher || student) of softened logits, averaged over the batch, times T squared.

    ``T² / batch · Σ_samples Σ_classes q log(q / p)``. Shapes: both (batch, classes). Both sides are softened with
    the same T; the sum goes over classes, the mean over the batch only. T squared keeps the gradient's size when T
    changes (Hinton, Vinyals, Dean 2015, section 2). Raises ValueError for a T that is not above 0, ConfigError
    for shapes that differ.
    """
    ensure_temperature(temperature)
    ensure_logits(student, teacher)
    return temperature**2 * _divergence(single(student) / temperature, target(teacher) / temperature)


def standardized(logits: Tensor) -> Tensor:
    """Return ``(z - mean) / (std + 1e-7)`` of each sample, with the unbiased std (n - 1).

    Shape: (batch, classes), kept. Applied to both sides before `soft_target_loss`, the student learns the
    teacher's ratios between classes and is free in size and shift (Sun et al. 2024, logit standardization).
    The trap: for a sample whose logits are all equal the result is 0 but the gradient is up to 1e7 times that
    of other samples; do not start a student from a classifier that is all zeros.
    """
    ensure_logits(logits, logits)
    z = single(logits)
    return (z - z.mean(dim=1, keepdim=True)) / (z.std(dim=1, keepdim=True) + _STANDARD_EPSILON)


def decoupled_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """Return the decoupled loss DKD, averaged over the batch: ``T² (target_weight · TCKD + other_weight · NCKD)``.

    TCKD is the divergence between the pairs (probability of the label, probability of all others); NCKD that
    between the distributions over the other classes alone. Per sample KL = TCKD + (1 - q_label) NCKD: plain KL
    gives the more weight to the other classes the less sure the teacher is, DKD gives it always (Zhao et al.
    2022, equations 5 to 8). Shapes: logits (batch, classes), labels (batch,) integers; with two classes NCKD is 0.

    The label's logit is left out, not pushed down by a large constant, and the probability of all others is a
    log-sum-exp, not one minus the label's: both stay exact and finite for logits of any size.
    """
    ensure_temperature(temperature)
    ensure_logits(student, teacher)
    ensure_class_numbers(labels, student)
    mine, others_mine = _label_and_others(single(student) / temperature, labels)
    theirs, others_theirs = _label_and_others(target(teacher) / temperature, labels)
    label_part = _divergence(mine, theirs)
    other_part = _divergence(others_mine, others_theirs)
    return temperature**2 * (target_weight * label_part + other_weight * other_part)


def correlation_loss(
    student: Tensor, teacher: Tensor, *, temperature: float, between: float = 1.0, within: float = 1.0
) -> Tensor:
    """Return the relational loss DIST: ``T² (between · (1 - r_rows) + within · (1 - r_columns))``.

    r_rows is Pearson's correlation of p and q over the classes of a sample (inter-class), averaged over samples;
    r_columns that over the samples of a class (intra-class), averaged over classes. It is in
    [0, 2 (between + within) T²] (Huang et al. 2022, equations 6 to 10). Shapes: both (batch, classes).

    1e-8 is added to the product of the norms, as published, so that a constant row or column has correlation 0
    and no nan. Columns are those of the given tensors: a part of the batch in a distributed run or with ``accumulate``.
    A batch of one has no correlation over samples: its columns add ``within · T²`` without gradient.
    The trap: a correlation does not change with the size of its inputs, so at high T the T² is a plain weight and
    the gradient grows with it, unlike that of `soft_target_loss`; and, as in `standardized`, a student that
    starts with all logits equal gets a gradient of the order of 1e8.
    """
    ensure_temperature(temperature)
    ensure_logits(student, teacher)
    mine = F.softmax(single(student) / temperature, dim=1)
    theirs = F.softmax(target(teacher) / temperature, dim=1)
    rows = _row_correlation(mine, theirs)
    columns = _row_correlation(mine.T, theirs.T)
    return temperature**2 * (between * (1 - rows) + within * (1 - columns))


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(teacher || student) of logits, summed over classes, averaged over the batch."""
    student_log, teacher_log = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    return F.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)


def _label_and_others(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits (batch, 2) of the label against all others, and those of the others (batch, classes - 1)."""
    column = labels[:, None]
    places = torch.arange(logits.shape[1] - 1, device=logits.device)[None]
    others = logits.gather(1, places + (places >= column))
    pair = torch.cat([logits.gather(1, column), others.logsumexp(dim=1, keepdim=True)], dim=1)
    return pair, others


def _row_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """Return Pearson's correlation of each row, averaged over rows."""
    mine = student - student.mean(dim=1, keepdim=True)
    theirs = teacher - teacher.mean(dim=1, keepdim=True)
    norms = torch.linalg.vector_norm(mine, dim=1) * torch.linalg.vector_norm(theirs, dim=1)
    correlations: Tensor = (mine * theirs).sum(dim=1) / (norms + _CORRELATION_EPSILON)
    return correlations.mean()
