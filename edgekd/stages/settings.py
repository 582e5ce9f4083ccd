"""What each stage can be told: its fields, their defaults, their ranges, and what the target decides.

This file knows no torch, so that a wrong recipe is refused in milliseconds. ``for_target`` is where a device's
facts become plain numbers; the stages themselves never see a target.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from edgekd.targets import PrecisionName, Target
from edgekd.train.training import Count, Fraction, NotNegative, Positive, Training

Kind = Literal["teacher", "student", "quantized", "models", "measurements"]
"""What a stage takes and gives."""

Argument = bool | int | float | str


BUILT_IN_ARGUMENTS: Final[Mapping[str, Argument]] = MappingProxyType({"classes": 10, "channels": 1, "width": 32})
"""What the built-in factories are called with."""


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan knows of a stage: its place in the flow. Raise *version* when the same input gives other output."""

    name: str
    version: int
    takes: tuple[Kind, ...]
    gives: Kind


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every stage's settings have."""

    stage: ClassVar[Declaration]

    @classmethod
    def for_target(cls, target: Target) -> dict[str, Any]:  # noqa: ARG003 - most stages do not depend on it
        """Return the fields that *target* decides."""
        return {}

    @property
    def takes(self) -> tuple[Kind, ...]:
        """Return what the stage takes with these settings."""
        return self.stage.takes


class Recovery(Training, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training with the teacher's soft targets: ``(1 - alpha) * cross-entropy + alpha * T**2 * KL``."""

    temperature: Positive = 2.0
    alpha: Fraction = 0.9


class Teach(Settings, Training, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train the teacher from a random start on labels alone, or take the one in the folder *given*.

    *factory* (``package.module:function``) is called with *arguments*; *factory_sha256*, which the plan fills in for
    one that is not edgekd's own, is the digest of its file: another code is another result.

    A *given* folder holds ``network.json`` and ``weights.safetensors``; *given_sha256*, which the plan fills in, is the
    digest of both, so that another teacher in the same folder is another result.
    """

    stage: ClassVar[Declaration] = Declaration(name="teach", version=1, takes=(), gives="teacher")

    given: str = ""
    given_sha256: str = ""

    factory: str = "edgekd.networks.resnet:resnet"
    factory_sha256: str = ""
    arguments: Mapping[str, Argument] = msgspec.field(default_factory=lambda: dict(BUILT_IN_ARGUMENTS))
    epochs: Count = 10
    lr: Positive = 0.1
    label_smoothing: Fraction = 0.0


class Distill(Settings, Recovery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train the student with the teacher's soft targets, and its features where *feature_weight* is above 0.

    *factory_sha256*: see ``Teach``.
    """

    stage: ClassVar[Declaration] = Declaration(name="distill", version=1, takes=("teacher",), gives="student")

    factory: str = "edgekd.networks.dscnn:dscnn"
    factory_sha256: str = ""
    arguments: Mapping[str, Argument] = msgspec.field(default_factory=lambda: dict(BUILT_IN_ARGUMENTS))
    epochs: Count = 16
    lr: Positive = 0.1
    temperature: Positive = 4.0
    feature_weight: NotNegative = 0.0
    teacher_feature: str = "blocks"
    student_feature: str = "blocks"


class Prune(Settings, Recovery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove the part *ratio* of all channels in blocks of *multiple*, then recover."""

    stage: ClassVar[Declaration] = Declaration(name="prune", version=1, takes=("teacher", "student"), gives="student")

    ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.25
    max_ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.75
    criterion: Literal["l2", "l1"] = "l2"
    multiple: Count
    epochs: Count = 8
    lr: Positive = 0.05

    @classmethod
    def for_target(cls, target: Target) -> dict[str, Any]:
        """Return the channel multiple that the target's kernels like."""
        return {"multiple": target.channels.multiple}


class FactorizeLayers(Settings, Recovery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Split linear and 1x1 convolution layers whose estimated cost falls, keeping *energy*, then recover."""

    stage: ClassVar[Declaration] = Declaration(
        name="factorize", version=1, takes=("teacher", "student"), gives="student"
    )

    energy: Annotated[float, Meta(gt=0, le=1)] = 0.85
    rank_multiple: Count
    gmacs_per_s: Positive
    ns_per_activation: NotNegative
    layer_overhead_us: NotNegative
    epochs: Count = 5
    lr: Positive = 0.03

    @classmethod
    def for_target(cls, target: Target) -> dict[str, Any]:
        """Return the target's prices of arithmetic and of a layer."""
        return {
            "rank_multiple": target.channels.multiple,
            "gmacs_per_s": target.cost.gmacs_per_s,
            "ns_per_activation": target.cost.ns_per_activation,
            "layer_overhead_us": target.cost.layer_overhead_us,
        }


class Quantize(Settings, Recovery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Place fake quantization for the target's runtime, find ranges, fine-tune with the teacher."""

    stage: ClassVar[Declaration] = Declaration(
        name="quantize", version=1, takes=("teacher", "student"), gives="quantized"
    )

    placement: Literal["onnxruntime-arm64", "tensorrt"] = "onnxruntime-arm64"
    calibration_images: Count = 512
    epochs: Count = 4
    lr: Positive = 0.005
    weight_decay: NotNegative = 0.0

    @classmethod
    def for_target(cls, target: Target) -> dict[str, Any]:
        """Return the target's placement rules, none where it has no INT8."""
        return {} if target.quantization is None else {"placement": target.quantization.placement}


class Export(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Write the files in the forms the runtime takes. *precision* is that of ``model.onnx``."""

    stage: ClassVar[Declaration] = Declaration(name="export", version=1, takes=("student",), gives="models")

    precision: PrecisionName
    variants: tuple[PrecisionName, ...]
    runtime: Literal["onnxruntime", "tensorrt"]
    opset: Annotated[int, Meta(ge=13, le=18)]
    ir_version: Annotated[int, Meta(ge=7, le=10)]

    @classmethod
    def for_target(cls, target: Target) -> dict[str, Any]:
        """Return the runtime and the versions it takes; precisions are the plan's to resolve."""
        return {
            "runtime": target.runtime.name,
            "opset": target.runtime.opset,
            "ir_version": target.runtime.ir_version,
        }

    @property
    def takes(self) -> tuple[Kind, ...]:
        """Return the student, and its quantized form where an INT8 file is written."""
        return ("student", "quantized") if "int8" in self.variants else ("student",)


class Measure(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time the files on this host; with one thread, so that the numbers of two hosts can be compared."""

    stage: ClassVar[Declaration] = Declaration(name="measure", version=1, takes=("models",), gives="measurements")

    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    warmup_runs: Count = 50
    runs: Annotated[int, Meta(ge=20, le=1_000_000)] = 300


STAGE_SETTINGS: Final[Mapping[str, type[Settings]]] = MappingProxyType(
    {settings.stage.name: settings for settings in (Teach, Distill, Prune, FactorizeLayers, Quantize, Export, Measure)}
)
"""Every stage in the order of the flow. ``measure`` comes last and is never stored."""
