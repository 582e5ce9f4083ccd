"""How a quantized file does beside the float network: on one split, by the classes that both name."""

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edgekd.core.errors import ConfigError
from edgekd.core.units import percent, points
from edgekd.networks.session import Arithmetic, answers, open_session
from edgekd.tasks.task import Split, Task

Classes = NDArray[np.int64]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How the two networks do on one split, as parts of its *samples*, in reference arithmetic.

    *agreement* is the part for which both name the same class. Without labels the float network's classes are the right
    ones: its own score is 1, the other's is the agreement.
    """

    samples: int
    float_score: float
    int8_score: float
    agreement: float

    @property
    def drop_points(self) -> float:
        """Return the points that INT8 loses."""
        return 100 * (self.float_score - self.int8_score)


def classes_of(model: ModelProto, task: Task, split: Split, arithmetic: Arithmetic = "reference") -> Classes:
    """Return the class (n,) that *model* names for each sample of *split*; ConfigError where it answers no numbers."""
    logits = answers(open_session(model, arithmetic=arithmetic), task.batches(split))
    wrong = ~np.isfinite(logits).all(1)
    if wrong.any():
        message = (
            f"{task.name}: the network answers with NaN or infinite numbers on {wrong.sum()} of {len(split)} samples; "
            "correct its weights or the pre-processing."
        )
        raise ConfigError(message)
    found: Classes = logits.argmax(1)
    return found


def score_of(real: Classes, quantized: Classes, split: Split) -> Score:
    """Return the scores of two networks by the classes that they name; the *real* one is right without labels."""
    right = real if split.labels is None else split.labels
    return Score(
        samples=len(split),
        float_score=float((real == right).mean()),
        int8_score=float((quantized == right).mean()),
        agreement=float((quantized == real).mean()),
    )


def right_classes(real: ModelProto, task: Task, split: Split) -> Classes:
    """Return the right class (n,) of each sample: its label or, without labels, what the float network *real* says."""
    return classes_of(real, task, split) if split.labels is None else split.labels


def scored_by(split: Split) -> str:
    """Return what a score on *split* is a part of."""
    return "labels" if split.labels is not None else "agreement with the float network"


def score_table(scores: Mapping[str, Score]) -> Iterator[str]:
    """Yield the lines of a Markdown table with a row for each of *scores*."""
    yield "| split | samples | float | INT8 | change | same class |\n|---|---|---|---|---|---|"
    for name, score in scores.items():
        yield (
            f"| {name} | {score.samples} | {percent(score.float_score)} | {percent(score.int8_score)} "
            f"| {points(-score.drop_points)} | {percent(score.agreement)} |"
        )
