"""What each stage can be told: its fields, their defaults, their ranges, and what the target decides.

This file knows no torch, so that a wrong recipe is refused in milliseconds. ``for_target`` is where a device's
facts become plain numbers; the stages themselves never see a target.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from edgekd.distill.guidance import Guidance
from edgekd.networks.catalog import Argument
from edgekd.targets import PlacementName, PrecisionName, Target
from edgekd.train.training import Count, Fraction, NotNegative, Positive, Training

Kind = Literal["teacher", "student", "uncompressed", "quantized", "models", "measurements"]
"""What a stage takes and gives. *uncompressed* is the student before anything was cut."""


ONNX_SUFFIX: Final = ".onnx"


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan knows of a stage: its place in the flow. Raise *version* when the same input gives other output."""

    name: str
    version: int
    takes: tuple[Kind, ...]
    gives: tuple[Kind, ...]


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

    @property
    def gives(self) -> tuple[Kind, ...]:
        """Return what the stage gives with these settings."""
        return self.stage.gives


class Origin(Protocol):
    """Where a network comes from: what the stages that make one from a factory have.

    *factory* (a built-in name, ``package.module:function`` or ``path/to/file.py:function``) is called with
    *arguments*; edgekd's own get ``classes`` and ``channels`` from the data where they are not given. *weights* is a
    file of tensors, none for a random start. The digests, which the plan fills in, make another code or other weights
    another result.
    """

    @property
    def factory(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def factory_sha256(self) -> str: ...  # noqa: D102
    @property
    def arguments(self) -> Mapping[str, Argument]: ...  # noqa: D102
    @property
    def weights(self) -> str: ...  # noqa: D102
    @property
    def weights_sha256(self) -> str: ...  # noqa: D102


class Recovery(Guidance, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training after a cut. *source* teaches: the student before it was compressed, or the teacher of ``teach``."""

    source: Literal["uncompressed", "teacher"] = "uncompressed"

    @property
    def takes(self) -> tuple[Kind, ...]:
        """Return the student and who teaches it."""
        return ("student", self.source)


class Teach(Settings, Training, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make the teacher: train a network on labels, load a trained one, or take what is *given*. See ``Origin``.

    *given* names folders that edgekd saved a network in and ONNX files; of several the logits are averaged.
    With 0 *epochs* a network is taken with its *weights* as it is. *label_smoothing* is the part of the target that
    is spread over all classes.
    """

    stage: ClassVar[Declaration] = Declaration(
        name="teach", version=2, takes=(), gives=("teacher", "student", "uncompressed")
    )

    given: tuple[str, ...] = ()
    given_sha256: tuple[str, ...] = ()
    factory: str = "edgekd.networks.resnet:resnet"
    factory_sha256: str = ""
    arguments: Mapping[str, Argument] = msgspec.field(default_factory=dict)
    weights: str = ""
    weights_sha256: str = ""
    epochs: Annotated[int, Meta(ge=0, le=1_000_000)] = 10
    lr: Positive = 0.1
    label_smoothing: Fraction = 0.0

    @property
    def is_black_box(self) -> bool:
        """Tell whether the teacher is no network that could be compressed itself: ONNX, or several."""
        return len(self.given) > 1 or any(name.endswith(ONNX_SUFFIX) for name in self.given)

    @property
    def gives(self) -> tuple[Kind, ...]:
        """Return the teacher, which is the student too until another is distilled, unless it is a black box."""
        return ("teacher",) if self.is_black_box else self.stage.gives


class Distill(Settings, Guidance, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train the student with the teacher. An empty *factory* leaves the stage out: the teacher is compressed itself.

    See ``Origin``.
    """

    stage: ClassVar[Declaration] = Declaration(
        name="distill", version=2, takes=("teacher",), gives=("student", "uncompressed")
    )

    factory: str = "edgekd.networks.dscnn:dscnn"
    factory_sha256: str = ""
    arguments: Mapping[str, Argument] = msgspec.field(default_factory=dict)
    weights: str = ""
    weights_sha256: str = ""
    epochs: Count = 16
    lr: Positive = 0.1
    temperature: Positive = 4.0


class Prune(Recovery, Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove the part *ratio* of all channels in blocks of *multiple*, then recover."""

    stage: ClassVar[Declaration] = Declaration(name="prune", version=2, takes=("student",), gives=("student",))

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


class LayerPrices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nanoseconds for one of each amount that a linear or 1x1 convolution layer is made of: terms of ``predict``.

    *ragged_products* come on top, in a layer whose channels are no multiple of four. *vector_products* are those of a
    matrix with a single row, *numbers* the activations that are read and written.
    """

    pointwise_products: NotNegative
    ragged_products: NotNegative
    vector_products: NotNegative
    numbers: NotNegative
    layers: NotNegative


class FactorizeLayers(Recovery, Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Split linear and 1x1 convolution layers whose cost at *prices_ns* falls, keeping *energy*, then recover.

    The plan takes the prices from what is known of the target for the precision that ships (``stages/pricing.py``).
    """

    stage: ClassVar[Declaration] = Declaration(name="factorize", version=3, takes=("student",), gives=("student",))

    energy: Annotated[float, Meta(gt=0, le=1)] = 0.85
    rank_multiple: Count
    prices_ns: LayerPrices
    epochs: Count = 5
    lr: Positive = 0.03

    @classmethod
    def for_target(cls, target: Target) -> dict[str, Any]:
        """Return the channel multiple that the target's kernels like."""
        return {"rank_multiple": target.channels.multiple}


class Quantize(Recovery, Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Place fake quantization for the target's runtime, find ranges, fine-tune with the teacher.

    *scales* are learned, or tracked by averages of what the batches cover, until the part *hold_scales_after* of all
    steps; then only weights move. ``fixed`` leaves them as they were calibrated. A network whose norms are folded into
    its weights answers to a step ten times as strongly as before: hence the low rate and the bound on the gradient.
    """

    stage: ClassVar[Declaration] = Declaration(name="quantize", version=5, takes=("student",), gives=("quantized",))

    placement: PlacementName = "onnxruntime-arm64"
    calibration_samples: Count = 512
    scales: Literal["learned", "tracked", "fixed"] = "learned"
    hold_scales_after: Fraction = 0.8
    epochs: Count = 4
    lr: Positive = 0.003
    clip_norm: NotNegative = 1.0
    weight_decay: NotNegative = 0.0

    @classmethod
    def for_target(cls, target: Target) -> dict[str, Any]:
        """Return the target's placement rules, none where it has no INT8."""
        return {} if target.quantization is None else {"placement": target.quantization.placement}


class Export(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Write the files in the forms the runtime takes. *precision* is that of ``model.onnx``.

    *operator_list* is the release of the *runtime* whose operators the files keep to.
    """

    stage: ClassVar[Declaration] = Declaration(name="export", version=4, takes=("student",), gives=("models",))

    precision: PrecisionName
    variants: tuple[PrecisionName, ...]
    runtime: Literal["onnxruntime", "tensorrt"]
    operator_list: str
    opset: Annotated[int, Meta(ge=13, le=18)]
    ir_version: Annotated[int, Meta(ge=7, le=10)]

    @classmethod
    def for_target(cls, target: Target) -> dict[str, Any]:
        """Return the runtime, its operators and the versions it takes; precisions are the plan's to resolve."""
        return {
            "runtime": target.runtime.name,
            "operator_list": target.runtime.operator_list,
            "opset": target.runtime.opset,
            "ir_version": target.runtime.ir_version,
        }

    @property
    def takes(self) -> tuple[Kind, ...]:
        """Return the student, and its quantized form where an INT8 file is written."""
        return ("student", "quantized") if "int8" in self.variants else ("student",)


class Measure(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time the files on this host; with one thread, so that the numbers of two hosts can be compared."""

    stage: ClassVar[Declaration] = Declaration(name="measure", version=1, takes=("models",), gives=("measurements",))

    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    warmup_runs: Count = 50
    runs: Annotated[int, Meta(ge=20, le=1_000_000)] = 300


STAGE_SETTINGS: Final[Mapping[str, type[Settings]]] = MappingProxyType(
    {settings.stage.name: settings for settings in (Teach, Distill, Prune, FactorizeLayers, Quantize, Export, Measure)}
)
"""Every stage in the order of the flow. ``measure`` comes last and is never stored."""
