"""How far the answers of one simulated graph are from those of another, on samples nobody needs labels for."""

import msgspec
import torch
from torch import Tensor

from edgekd.quantize.samples import Samples
from edgekd.quantize.simulation import SimulatedGraph


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """How quantized logits differ from real ones.

    *divergence* is the mean of KL(softmax of the real || softmax of the quantized) in nats, *agreement* the part of
    the samples (0 to 1) on which the largest logit is the same.
    """

    divergence: float
    agreement: float


def logits_on(simulation: SimulatedGraph, samples: Samples) -> Tensor:
    """Return the logits (n, classes), the graph's first output, in evaluation mode."""
    simulation.eval()
    with torch.no_grad():
        return torch.cat([_first(simulation(*batch)) for batch in samples.batches()])


def distance(found: Tensor, real: Tensor) -> Distance:
    """Return how far the logits *found* are from the *real* ones; shapes (n, ..., classes)."""
    expected, given = real.double().log_softmax(-1), found.double().log_softmax(-1)
    divergence = (expected.exp() * (expected - given)).sum(-1).mean().item()
    agreement = (found.argmax(-1) == real.argmax(-1)).double().mean().item()
    return Distance(divergence=divergence, agreement=agreement)


def _first(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return the first of a graph's outputs."""
    return outputs[0] if isinstance(outputs, tuple) else outputs
