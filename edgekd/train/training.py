"""How long and how a stage trains: the settings every training stage's config has."""

from typing import Annotated

import msgspec
from msgspec import Meta

from edgekd.train.schedule import ScheduleName

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Momentum = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SGD with momentum, its regularization, its schedule and the augmentation of its images.

    *weight_decay* is the usual L2 term, on weight matrices and kernels only: norms and biases are spared.
    *l1* adds ``l1 * sum(|w|)`` over the same tensors to the loss. *warmup* is a part of all steps. *shift*
    is a part of the image's side, *rotation* is in degrees, *scale* and *shear* are relative; 0 is off.
    """

    epochs: Count
    lr: Positive
    batch_size: Count = 128
    momentum: Momentum = 0.9
    nesterov: bool = True
    weight_decay: NotNegative = 5e-4
    l1: NotNegative = 0.0
    schedule: ScheduleName = "one-cycle"
    warmup: Fraction = 0.15
    shift: Fraction = 0.07
    rotation: Annotated[float, Meta(ge=0, le=180)] = 12.0
    scale: Fraction = 0.1
    shear: Fraction = 0.15

    def __post_init__(self) -> None:
        """Refuse Nesterov without momentum: torch has no such optimizer."""
        if self.nesterov and self.momentum == 0:
            message = "nesterov = true needs momentum above 0; got momentum = 0"
            raise ValueError(message)
