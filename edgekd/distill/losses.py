"""Distillation losses as pure functions."""

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor


def soft_target_loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return KL(teacher || student) of softened logits, averaged over the batch, times T squared.

    Shapes: both (batch, classes). Both sides are softened with the same T; the sum goes over classes, the
    mean over the batch only. T squared keeps the gradient's size when T changes (Hinton, Vinyals, Dean 2015,
    section 2).
    """
    student_log = F.log_softmax(student / temperature, dim=1)
    teacher_log = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True) * temperature**2


def distillation_loss(student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float, alpha: float) -> Tensor:
    """Return ``(1 - alpha) * cross-entropy + alpha * soft_target_loss``.

    Shapes: logits (batch, classes), labels (batch,). With alpha 1 the labels do not count.
    """
    soft = soft_target_loss(student, teacher, temperature=temperature)
    return (1 - alpha) * F.cross_entropy(student, labels) + alpha * soft


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of two feature maps of equal shape (FitNets, arXiv 1412.6550)."""
    return F.mse_loss(student, teacher)
