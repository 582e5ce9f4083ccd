"""What a student is taught with: the terms of the loss and their weights. This file knows no torch."""

from typing import Annotated

from msgspec import Meta

from edgekd.train.training import Training

Weight = Annotated[float, Meta(ge=0)]
Temperature = Annotated[float, Meta(gt=0)]
Alpha = Annotated[float, Meta(ge=0, le=1)]
Paths = tuple[str, ...]


class Guidance(Training, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training with a teacher: the loss is a sum of terms, of which a weight of 0 leaves one out.

    ``(1 - alpha) * cross-entropy + alpha * (kl_weight * KL + dkd_weight * DKD + dist_weight * DIST)
    + feature_weight * hints + attention_weight * attention transfer + maps_weight * attention maps``

    Logits are softened by *temperature*; with *standardize* those that go into KL are standardized first, which wants
    ``temperature = 2`` and ``kl_weight = 10``. DKD is *dkd_target* times its target part plus *dkd_other* times the
    other; DIST is *dist_between* classes plus *dist_within*. Hints and attention transfer compare the outputs of the
    modules *student_features* and *teacher_features*, pair by pair; attention maps (batch, heads, tokens, tokens)
    those of *student_maps* and *teacher_maps*. For a teacher that is an ONNX file the paths are names of its values.
    With *cache_teacher* its logits are computed once and kept.
    """

    alpha: Alpha = 0.9
    temperature: Temperature = 2.0
    kl_weight: Weight = 1.0
    standardize: bool = False
    dkd_weight: Weight = 0.0
    dkd_target: Weight = 1.0
    dkd_other: Weight = 8.0
    dist_weight: Weight = 0.0
    dist_between: Weight = 1.0
    dist_within: Weight = 1.0
    feature_weight: Weight = 0.0
    attention_weight: Weight = 0.0
    student_features: Paths = ()
    teacher_features: Paths = ()
    maps_weight: Weight = 0.0
    student_maps: Paths = ()
    teacher_maps: Paths = ()
    cache_teacher: bool = True

    def __post_init__(self) -> None:
        """Refuse tapped paths that do not come in pairs, a weight without paths, and DKD on mixed samples."""
        super().__post_init__()
        if self.dkd_weight and (self.mixup or self.cutmix):
            message = "dkd_weight above 0 needs one label for each sample; turn mixup and cutmix off"
            raise ValueError(message)
        pairs = (
            ("features", self.student_features, self.teacher_features, self.feature_weight + self.attention_weight),
            ("maps", self.student_maps, self.teacher_maps, self.maps_weight),
        )
        for name, mine, theirs, weight in pairs:
            if len(mine) != len(theirs):
                message = f"student_{name} names {len(mine)} and teacher_{name} {len(theirs)} modules; they go in pairs"
                raise ValueError(message)
            if weight and not mine:
                message = f"a weight above 0 needs modules to compare; name them in student_{name} and teacher_{name}"
                raise ValueError(message)

    @property
    def uses_features(self) -> bool:
        """Tell whether feature maps are compared."""
        return self.feature_weight + self.attention_weight > 0

    @property
    def uses_taps(self) -> bool:
        """Tell whether anything but logits is compared, so that the teacher has to run in every step."""
        return self.uses_features or self.maps_weight > 0

    @property
    def student_taps(self) -> Paths:
        """Return the student's tapped paths: features first, then maps."""
        return (self.student_features if self.uses_features else ()) + (self.student_maps if self.maps_weight else ())

    @property
    def teacher_taps(self) -> Paths:
        """Return the teacher's tapped paths, in the same order."""
        return (self.teacher_features if self.uses_features else ()) + (self.teacher_maps if self.maps_weight else ())
