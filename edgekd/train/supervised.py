"""Learning from labels alone."""

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.networks.answer import logits_from
from edgekd.train.batches import Batch


class Supervised(nn.Module):
    """The objective of a network that is trained on labels: cross-entropy."""

    def __init__(self, network: nn.Module, *, label_smoothing: float = 0.0) -> None:
        """Train *network*; *label_smoothing* is the part of the target that is spread over all classes."""
        super().__init__()
        self.network = network
        self._label_smoothing = label_smoothing

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of *batch*, a scalar."""
        return label_loss(logits_from(self.network, batch.inputs), batch, label_smoothing=self._label_smoothing)


def label_loss(logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of *logits* (n, classes) with the labels of *batch*, averaged over it, in float32.

    Where samples are mixed it is ``part * CE(own label) + (1 - part) * CE(partner's label)`` for each.
    """
    logits = logits.float()
    if batch.other_labels is None or batch.part is None:
        return F.cross_entropy(logits, batch.labels, label_smoothing=label_smoothing)
    own, other = (
        F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
        for labels in (batch.labels, batch.other_labels)
    )
    return (batch.part * own + (1 - batch.part) * other).mean()
