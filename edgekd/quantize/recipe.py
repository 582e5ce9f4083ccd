"""What post-training quantization can be told. This file knows no torch, so that a wrong word is refused at once."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

CalibrationMethod = Literal["min-max", "percentile", "entropy", "mse"]
WeightMethod = Literal["full", "mse"]
Choice = Literal["auto", "yes", "no"]
"""*auto*: kept where it measures better."""

Form = Literal["static", "dynamic", "weights"]
"""*static*: activations and weights, ranges from samples. *dynamic*: matrix products, ranges anew in every inference.
*weights*: weights alone, for the size."""

Cost = Literal["macs", "bytes"]
"""What a layer in float costs: its multiply-accumulates, or the bytes that its weights take more."""

LEAST_SAMPLES: Final = 32
"""With fewer, a range is a guess: one odd sample decides it."""


class PostTraining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a trained network is quantized without training. All but the *form* speaks of the static one.

    *method* finds the ranges of activations, *weights* those of weights, from *samples* training samples.
    *drop_budget* is how many points of validation accuracy may be lost before layers stay in float, those with the most
    loss for their *cost* first; without one all are quantized.
    """

    form: Form = "static"
    method: CalibrationMethod = "mse"
    weights: WeightMethod = "mse"
    equalize: Choice = "auto"
    bias_correction: Choice = "auto"
    adaround: Choice = "no"
    samples: Annotated[int, Meta(ge=1, le=1_000_000)] = 512
    drop_budget: Annotated[float, Meta(ge=0, le=100)] | None = None
    cost: Cost = "macs"
    seed: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
