"""What every distillation loss asks of its inputs: single precision, equal shapes, settings within their range."""

import math

import torch
from torch import Tensor

from edgekd.core.errors import ConfigError

_LOGITS = 2


def single(tensor: Tensor) -> Tensor:
    """Return *tensor* in float32 where it is half precision or an integer type, else as it is.

    Under automatic mixed precision networks answer in float16 or bfloat16, whose 8 to 11 bits are too few for
    logarithms of small probabilities and for sums of squares.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def target(tensor: Tensor) -> Tensor:
    """Return the teacher's *tensor* cut from its graph and in single precision: nothing ever teaches the teacher."""
    return single(tensor.detach())


def ensure_logits(student: Tensor, teacher: Tensor) -> None:
    """Raise ConfigError unless both are (batch, classes) of one shape with at least two classes.

    Without this check a teacher of one class, or of one sample, would be broadcast and train a wrong student.
    """
    if student.shape != teacher.shape or student.ndim != _LOGITS or student.shape[1] < _LOGITS:
        message = (
            f"logits: the student gives {tuple(student.shape)} and the teacher {tuple(teacher.shape)}; "
            "expected (batch, classes), equal in both, with at least two classes."
        )
        raise ConfigError(message)


def ensure_class_numbers(labels: Tensor, logits: Tensor) -> None:
    """Raise ConfigError unless *labels* are integers of shape (batch,): one class for each row of *logits*."""
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        message = (
            f"labels: {labels.dtype} of shape {tuple(labels.shape)}; the decoupled loss needs one class number for "
            f"each of {logits.shape[0]} samples. Labels mixed by mixup or cutmix have none: take another loss there."
        )
        raise ConfigError(message)


def ensure_temperature(temperature: float) -> None:
    """Raise ValueError unless *temperature* is a finite number above 0."""
    if not 0 < temperature < math.inf:
        message = f"temperature: {temperature:g} given; expected a finite number more than 0."
        raise ValueError(message)
