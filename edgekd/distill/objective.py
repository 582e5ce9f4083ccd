"""The objective of a student that is taught: every term of the loss that has a weight, added up."""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from edgekd.distill.attention import attention_map_loss, attention_transfer_loss, head_mapping
from edgekd.distill.features import FeatureMatcher
from edgekd.distill.guidance import Guidance
from edgekd.distill.losses import correlation_loss, decoupled_loss, soft_target_loss, standardized
from edgekd.distill.taps import Taps, shapes_at
from edgekd.distill.teacher import Answer, Teacher
from edgekd.networks.answer import logits_from
from edgekd.train.batches import Batch
from edgekd.train.supervised import label_loss

LogitsOf = Callable[[Batch], Tensor]

IMAGE_DIMENSIONS: Final = 4
SEQUENCE_DIMENSIONS: Final = 3


class Guided(nn.Module):
    """A student and the adapters that are trained with it; the teacher is asked, never trained or saved.

    The tensors in *taps* are the student's, at ``guidance.student_taps``; they are there while the block of
    ``tapped`` is open, around the whole training.
    """

    def __init__(
        self, student: nn.Module, teacher: Teacher, guidance: Guidance, *, taps: Taps, cached: LogitsOf | None
    ) -> None:
        """Teach *student*; *cached* gives the teacher's logits where nothing else of it is needed."""
        super().__init__()
        self.student = student
        self.matchers = nn.ModuleList()
        self._teacher = teacher
        self._guidance = guidance
        self._taps = taps
        self._cached = cached

    def add_matchers(self, example: Sequence[Tensor], *, seed: int) -> None:
        """Build an adapter for each pair of features, from the shapes that *example* inputs give."""
        pairs = len(self._guidance.student_features)
        mine = shapes_at(self.student, self._guidance.student_features, tuple(example))
        theirs = [tuple(tensor.shape) for tensor in self._teacher.answer(example).tapped[:pairs]]
        is_image = any(tensor.ndim == IMAGE_DIMENSIONS for tensor in example)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.matchers.extend(
                FeatureMatcher(student, teacher, tokens=is_image and len(student) == SEQUENCE_DIMENSIONS)
                for student, teacher in zip(mine, theirs, strict=True)
            )

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of *batch*, a scalar."""
        guidance = self._guidance
        logits = logits_from(self.student, batch.inputs)
        loss = torch.zeros((), device=logits.device)
        if guidance.alpha < 1:
            loss = loss + (1 - guidance.alpha) * label_loss(logits, batch)
        if not (guidance.alpha or guidance.uses_taps):
            return loss
        answer = self._answer(batch)
        if guidance.alpha > 0:
            loss = loss + guidance.alpha * teaching_loss(logits, answer.logits, batch.labels, guidance)
        if guidance.uses_taps:
            loss = loss + self._inside(answer.tapped)
        return loss

    def _answer(self, batch: Batch) -> Answer:
        """Return what the teacher says: from the cache where logits are enough."""
        if self._cached is not None and not guidance_needs_teacher(self._guidance):
            return Answer(logits=self._cached(batch), tapped=())
        return self._teacher.answer(batch.inputs)

    def _inside(self, theirs: Sequence[Tensor]) -> Tensor:
        """Return the weighted terms that compare the insides of both networks."""
        guidance, mine = self._guidance, self._taps[:]
        pairs = len(guidance.student_features) if guidance.uses_features else 0
        loss = mine[0].new_zeros((), dtype=torch.float32)
        if guidance.feature_weight:
            for matcher, student, teacher in zip(self.matchers, mine, theirs[:pairs], strict=False):
                loss = loss + guidance.feature_weight * matcher(student, teacher)
        if guidance.attention_weight:
            loss = loss + guidance.attention_weight * attention_transfer_loss(mine[:pairs], theirs[:pairs])
        if guidance.maps_weight:
            for student, teacher in zip(mine[pairs:], theirs[pairs:], strict=True):
                heads = head_mapping(student.shape[1], teacher.shape[1])
                loss = loss + guidance.maps_weight * attention_map_loss(student, teacher, heads=heads)
        return loss


def teaching_loss(student: Tensor, teacher: Tensor, labels: Tensor, guidance: Guidance) -> Tensor:
    """Return the weighted sum of the losses on logits (n, classes); what has no weight is not computed."""
    loss = student.new_zeros((), dtype=torch.float32)
    if guidance.kl_weight:
        pair = (standardized(student), standardized(teacher)) if guidance.standardize else (student, teacher)
        loss = loss + guidance.kl_weight * soft_target_loss(*pair, temperature=guidance.temperature)
    if guidance.dkd_weight:
        loss = loss + guidance.dkd_weight * decoupled_loss(
            student,
            teacher,
            labels,
            temperature=guidance.temperature,
            target_weight=guidance.dkd_target,
            other_weight=guidance.dkd_other,
        )
    if guidance.dist_weight:
        loss = loss + guidance.dist_weight * correlation_loss(
            student,
            teacher,
            temperature=guidance.temperature,
            between=guidance.dist_between,
            within=guidance.dist_within,
        )
    return loss


def guidance_needs_teacher(guidance: Guidance) -> bool:
    """Tell whether the teacher itself has to run in every step."""
    return guidance.uses_taps or not guidance.cache_teacher
