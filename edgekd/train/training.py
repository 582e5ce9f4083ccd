"""How long and how a stage trains, and how its samples are varied: the settings every training stage's config has."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgekd.train.schedule import ScheduleName

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]

OptimizerName = Literal["sgd", "adam", "adamw"]
Averaging = Literal["none", "ema", "mean"]


class Augmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How samples are varied; 0 (or false) is off. All but *mixup* are for images (layout NCHW) and leave others alone.

    *shift* is a part of the image's side, *rotation* is in degrees, *scale* and *shear* are relative. *crop* moves the
    image by up to so many pixels, the border mirrored; *flip* mirrors half of the images from left to right.
    *brightness*, *contrast* and *saturation* multiply by up to ``1 ± value``. *mixup* and *cutmix* are the alpha of
    Beta(alpha, alpha) (arXiv 1710.09412, 1905.04899).
    """

    shift: Fraction = 0.07
    rotation: Annotated[float, Meta(ge=0, le=180)] = 12.0
    scale: BelowOne = 0.1
    shear: Fraction = 0.15
    crop: Annotated[int, Meta(ge=0, le=1024)] = 0
    flip: bool = False
    brightness: Fraction = 0.0
    contrast: Fraction = 0.0
    saturation: Fraction = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0


class Training(Augmentation, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The optimizer, its regularization, its schedule, and which weights are kept at the end.

    *batch_size* samples make one step; they go through the network in *accumulate* parts, and over all processes of
    a distributed run together. *weight_decay* spares norms, biases and learned scales; it is the usual L2 term, and
    decoupled for ``adamw``. *l1* adds ``l1 * sum(|w|)`` over the decayed tensors to the loss. *clip_norm* bounds the
    length of the whole gradient, 0 for none. *warmup* is a part of all steps. ``step`` multiplies the rate by *gamma*
    at each of the *milestones*, which are parts of all steps.

    *averaging* keeps averaged weights instead of the last: ``ema`` with *ema_decay* for each step, ``mean`` over the
    steps after the part *average_from*. *patience* stops after so many epochs without a better validation accuracy and
    keeps the best epoch's weights; 0 trains to the end and keeps the last.
    """

    epochs: Count
    lr: Positive
    batch_size: Count = 128
    accumulate: Count = 1
    optimizer: OptimizerName = "sgd"
    momentum: BelowOne = 0.9
    nesterov: bool = True
    weight_decay: NotNegative = 5e-4
    l1: NotNegative = 0.0
    clip_norm: NotNegative = 0.0
    schedule: ScheduleName = "one-cycle"
    warmup: Fraction = 0.15
    milestones: tuple[Fraction, ...] = (0.5, 0.75)
    gamma: Annotated[float, Meta(gt=0, le=1)] = 0.1
    averaging: Averaging = "none"
    ema_decay: BelowOne = 0.999
    average_from: BelowOne = 0.75
    patience: Annotated[int, Meta(ge=0, le=1_000_000)] = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be: Nesterov without momentum, parts that do not divide a batch."""
        if self.optimizer == "sgd" and self.nesterov and self.momentum == 0:
            message = "nesterov = true needs momentum above 0; got momentum = 0"
            raise ValueError(message)
        if self.batch_size % self.accumulate:
            message = f"batch_size = {self.batch_size} cannot be cut into accumulate = {self.accumulate} equal parts"
            raise ValueError(message)

    @property
    def augmentation(self) -> Augmentation:
        """Return only how samples are varied: what a teacher's answers depend on."""
        return Augmentation(**{name: getattr(self, name) for name in Augmentation.__struct_fields__})
