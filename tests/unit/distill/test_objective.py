"""The objective: every weighted term once, none without a weight, against sums added up by hand."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.distill.attention import attention_map_loss, attention_transfer_loss
from edgekd.distill.features import FeatureMatcher
from edgekd.distill.guidance import Guidance
from edgekd.distill.logit_cache import LogitCache
from edgekd.distill.losses import correlation_loss, decoupled_loss, soft_target_loss, standardized
from edgekd.distill.objective import Guided, guidance_needs_teacher
from edgekd.distill.taps import Taps, shapes_at, tapped
from edgekd.distill.teacher import Answer, ModuleTeacher, Teacher
from edgekd.networks.answer import logits_from
from edgekd.tasks.task import Task
from edgekd.train.batches import Batch, training_batches

GuidanceOf = Callable[..., Guidance]
ALL = {
    "alpha": 0.3,
    "temperature": 3.0,
    "kl_weight": 2.0,
    "dkd_weight": 0.5,
    "dkd_target": 1.5,
    "dkd_other": 4.0,
    "dist_weight": 0.7,
    "dist_between": 1.2,
    "dist_within": 0.8,
    "feature_weight": 0.4,
    "attention_weight": 50.0,
    "student_features": ["features", "head.norm"],
    "teacher_features": ["features", "head.norm"],
    "maps_weight": 3.0,
    "student_maps": ["attention.maps"],
    "teacher_maps": ["attention.maps"],
}


class Silent:
    """A teacher that is not to be asked."""

    digest = "silent"

    def answer(self, inputs: Sequence[Tensor]) -> Answer:
        """Refuse."""
        message = f"asked about {len(inputs)} inputs"
        raise AssertionError(message)


class Attention(nn.Module):
    """Attention of so many heads over tokens of so many channels, written out: its maps are a module's output."""

    def __init__(self, width: int, heads: int) -> None:
        """Make the layers."""
        super().__init__()
        self.heads, self.mix, self.maps = heads, nn.Linear(width, 3 * width), nn.Softmax(dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        parts = self.mix(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        maps = self.maps(parts[0] @ parts[1].transpose(2, 3) / parts.shape[-1] ** 0.5)
        mixed: Tensor = (maps @ parts[2]).transpose(1, 2).flatten(2)
        return mixed


class Head(nn.Module):
    """A strided convolution with a norm."""

    def __init__(self, width: int, stride: int) -> None:
        """Make the layers."""
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(width, 2 * width, 2, stride), nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Map a feature map to a smaller one."""
        narrowed: Tensor = self.norm(self.convolution(features))
        return narrowed


class Hybrid(nn.Module):
    """Convolutions and attention over 16 patches, of any width, stride and number of heads."""

    def __init__(self, width: int, heads: int, stride: int = 1) -> None:
        """Make the layers."""
        super().__init__()
        self.features, self.head = nn.Conv2d(1, width, 2, 2), Head(width, stride)
        self.attention, self.classifier = Attention(width, heads), nn.Linear(3 * width, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 1, 8, 8) to logits (batch, 5)."""
        features = self.features(images)
        tokens = self.attention(features.flatten(2).transpose(1, 2))
        logits: Tensor = self.classifier(torch.cat([self.head(features).mean((2, 3)), tokens.mean(1)], 1))
        return logits


def hybrid(width: int, heads: int, *, seed: int, stride: int = 1) -> Hybrid:
    """Return a network with weights drawn from *seed*."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Hybrid(width, heads, stride)


def loss_of(network: nn.Module, teacher: Teacher, guidance: Guidance, batch: Batch) -> tuple[Tensor, Guided]:
    """Return the loss of one batch, and the objective, whose adapters are drawn from seed 4."""
    with tapped(network, guidance.student_taps) as taps:
        objective = Guided(network, teacher, guidance, taps=taps, cached=None)
        if guidance.feature_weight:
            objective.add_matchers(batch.inputs, seed=4)
        return objective(batch), objective


def first_batch(task: Task, guidance: Guidance) -> Batch:
    """Return what the first step sees."""
    return training_batches(task, guidance, seed=0).batch(0)


def inside(module: nn.Module, paths: Sequence[str], batch: Batch) -> tuple[Tensor, ...]:
    """Return what the submodules at *paths* give."""
    with tapped(module, paths) as taps:
        module(*batch.inputs)
        return taps[:]


@pytest.mark.parametrize(("width", "heads", "stride"), [(8, 2, 1), (4, 2, 1), (12, 4, 1), (8, 2, 2)])
def test_all_terms_together_are_the_sum_of_each(
    task: Task, guided: GuidanceOf, width: int, heads: int, stride: int
) -> None:
    """Teachers of equal and other widths, numbers of heads and map sizes: each term by its own function, by hand."""
    student, master = hybrid(8, 2, seed=0), hybrid(width, heads, seed=1, stride=stride)
    guidance = guided(**ALL)
    batch = first_batch(task, guidance)
    teacher = ModuleTeacher(master, "digest", guidance.teacher_taps)

    loss, objective = loss_of(student, teacher, guidance, batch)

    mine, theirs = student(*batch.inputs), master(*batch.inputs)
    on_logits = (
        2.0 * soft_target_loss(mine, theirs, temperature=3.0)
        + 0.5 * decoupled_loss(mine, theirs, batch.labels, temperature=3.0, target_weight=1.5, other_weight=4.0)
        + 0.7 * correlation_loss(mine, theirs, temperature=3.0, between=1.2, within=0.8)
    )
    features = [inside(module, ALL["student_features"], batch) for module in (student, master)]  # type: ignore[arg-type]
    maps = [inside(module, ["attention.maps"], batch)[0] for module in (student, master)]
    hints = sum(matcher(*pair) for matcher, *pair in zip(objective.matchers, *features, strict=True))
    expected = (
        0.7 * F.cross_entropy(mine, batch.labels)
        + 0.3 * on_logits
        + 0.4 * hints
        + 50.0 * attention_transfer_loss(*features)
        + 3.0 * attention_map_loss(*maps)
    )
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("standardize", [False, True])
def test_hintons_loss_by_hand(task: Task, guided: GuidanceOf, standardize: bool) -> None:  # noqa: FBT001 - both cases
    """A tenth of cross-entropy and nine of T² KL, in numbers added up in float64."""
    guidance = guided(alpha=0.9, temperature=4.0, standardize=standardize)
    student, master = hybrid(8, 2, seed=0), hybrid(4, 2, seed=1)
    batch = first_batch(task, guidance)

    loss, _ = loss_of(student, ModuleTeacher(master, "digest", ()), guidance, batch)

    mine, theirs = (module(*batch.inputs).detach().double() for module in (student, master))
    hard = sum(float(row.logsumexp(0) - row[label]) for row, label in zip(mine, batch.labels, strict=True)) / 8
    if standardize:
        mine, theirs = standardized(mine).double(), standardized(theirs).double()
    p, q = (torch.softmax(logits / 4, 1) for logits in (mine, theirs))
    soft = 16 * float((q * (q / p).log()).sum()) / 8
    assert loss.item() == pytest.approx(0.1 * hard + 0.9 * soft, rel=1e-5)


def test_alpha_zero_is_labels_alone(task: Task, guided: GuidanceOf) -> None:
    """The teacher is not even asked."""
    guidance = guided(alpha=0.0, dkd_weight=1.0)
    student = hybrid(8, 2, seed=0)
    batch = first_batch(task, guidance)

    loss, _ = loss_of(student, Silent(), guidance, batch)

    assert torch.equal(loss, F.cross_entropy(student(*batch.inputs), batch.labels))


def test_alpha_one_is_the_teacher_alone(task: Task, guided: GuidanceOf) -> None:
    """Labels do not count: other ones give the same bits."""
    guidance = guided(alpha=1.0)
    student, master = hybrid(8, 2, seed=0), hybrid(4, 2, seed=1)
    teacher = ModuleTeacher(master, "digest", ())
    batch = first_batch(task, guidance)
    other = training_batches(task, guidance, seed=0).view(batch.samples, 0)
    other.labels.add_(1).remainder_(5)

    loss, _ = loss_of(student, teacher, guidance, batch)

    assert not torch.equal(other.labels, batch.labels)
    assert torch.equal(loss, loss_of(student, teacher, guidance, other)[0])
    torch.testing.assert_close(
        loss, soft_target_loss(student(*batch.inputs), master(*batch.inputs), temperature=guidance.temperature)
    )


@pytest.mark.parametrize(
    ("weight", "term"),
    [
        ({"kl_weight": 1.0}, lambda s, t, _: soft_target_loss(s, t, temperature=2.0)),
        ({"dkd_weight": 1.0}, lambda s, t, labels: decoupled_loss(s, t, labels, temperature=2.0)),
        ({"dist_weight": 1.0}, lambda s, t, _: correlation_loss(s, t, temperature=2.0)),
    ],
    ids=["kl", "dkd", "dist"],
)
def test_a_term_alone_is_its_own_function(
    task: Task,
    guided: GuidanceOf,
    weight: dict[str, float],
    term: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> None:
    """With the others at weight 0 nothing is added to it."""
    guidance = guided(**({"alpha": 1.0, "kl_weight": 0.0} | weight))
    student, master = hybrid(8, 2, seed=0), hybrid(4, 2, seed=1)
    batch = first_batch(task, guidance)

    loss, _ = loss_of(student, ModuleTeacher(master, "digest", ()), guidance, batch)

    torch.testing.assert_close(loss, term(student(*batch.inputs), master(*batch.inputs), batch.labels))


def test_a_term_without_a_weight_is_not_computed(task: Task, guided: GuidanceOf) -> None:
    """Paths that would fail wait for their weight: maps of convolutions, hints between a map and a vector."""
    paths = {"student_features": ["features"], "teacher_features": ["classifier"]}
    guidance = guided(**paths, student_maps=["features"], teacher_maps=["classifier"])
    student = hybrid(8, 2, seed=0)
    batch = first_batch(task, guidance)

    loss, objective = loss_of(student, ModuleTeacher(hybrid(4, 2, seed=1), "digest", ()), guidance, batch)

    assert torch.isfinite(loss)
    assert len(objective.matchers) == 0


def test_a_teacher_whose_logits_are_kept_is_not_asked(task: Task, guided: GuidanceOf, tmp_path: Path) -> None:
    """The loss from the cache is that of the teacher within what float16 rounds, and a second run needs none."""
    guidance = guided(alpha=1.0)
    student, master = hybrid(8, 2, seed=0), ModuleTeacher(hybrid(4, 2, seed=1), "silent", ())
    batches = training_batches(task, guidance, seed=0)
    live, _ = loss_of(student, master, guidance, batches.batch(0))
    first = Guided(student, master, guidance, taps=Taps(()), cached=LogitCache(tmp_path, master, batches).logits)
    made = first(batches.batch(0))

    silent = LogitCache(tmp_path, Silent(), batches)
    found = Guided(student, Silent(), guidance, taps=Taps(()), cached=silent.logits)(batches.batch(0))

    torch.testing.assert_close(made, live, rtol=1e-2, atol=1e-5)
    assert torch.equal(found, made)


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, False),
        ({"cache_teacher": False}, True),
        ({name: ALL[name] for name in ("feature_weight", "student_features", "teacher_features")}, True),
        ({name: ALL[name] for name in ("maps_weight", "student_maps", "teacher_maps")}, True),
        ({name: ALL[name] for name in ("student_maps", "teacher_maps")}, False),
        ({"dkd_weight": 1.0, "dist_weight": 1.0, "standardize": True}, False),
    ],
)
def test_features_and_maps_need_the_teacher_itself(guided: GuidanceOf, fields: dict[str, object], needs: bool) -> None:  # noqa: FBT001
    """They are not kept: only logits are small enough."""
    assert guidance_needs_teacher(guided(**fields)) is needs


def test_adapters_are_drawn_from_the_seed_and_learn(task: Task, guided: GuidanceOf) -> None:
    """Equal seeds give equal adapters, torch's own next number stays, and the gradient reaches them."""
    guidance = guided(**{name: ALL[name] for name in ("feature_weight", "student_features", "teacher_features")})
    student, teacher = hybrid(8, 2, seed=0), ModuleTeacher(hybrid(12, 4, seed=1), "digest", guidance.teacher_taps)
    batch = first_batch(task, guidance)
    state = torch.random.get_rng_state()

    (loss, objective), (_, again) = (loss_of(student, teacher, guidance, batch) for _ in range(2))
    loss.backward()  # type: ignore[no-untyped-call]

    assert torch.equal(torch.random.get_rng_state(), state)
    assert [tuple(adapter.shape) for adapter in objective.matchers.parameters()] == [(12, 8, 1, 1), (24, 16, 1, 1)]
    assert all(map(torch.equal, objective.matchers.parameters(), again.matchers.parameters()))
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in objective.parameters())


def test_adapters_are_not_part_of_the_student(task: Task, guided: GuidanceOf) -> None:
    """What is saved and exported is the network that the user gave."""
    guidance = guided(**{name: ALL[name] for name in ("feature_weight", "student_features", "teacher_features")})
    student = hybrid(8, 2, seed=0)
    names = set(copy.deepcopy(student).state_dict())
    teacher = ModuleTeacher(hybrid(12, 4, seed=1), "digest", guidance.teacher_taps)

    loss_of(student, teacher, guidance, first_batch(task, guidance))

    assert set(student.state_dict()) == names


def test_tokens_of_an_image_network_are_told_from_sequences(task: Task, guided: GuidanceOf) -> None:
    """(batch, 16 tokens, width) of networks on images gets a linear adapter over the width."""
    guidance = guided(feature_weight=1.0, student_features=["attention"], teacher_features=["attention"])
    teacher = ModuleTeacher(hybrid(12, 4, seed=1), "digest", guidance.teacher_taps)

    _, objective = loss_of(hybrid(8, 2, seed=0), teacher, guidance, first_batch(task, guidance))

    (matcher,) = objective.matchers
    assert isinstance(matcher, FeatureMatcher)
    assert matcher.kind == "tokens"
    assert shapes_at(hybrid(8, 2, seed=0), ["attention"], (torch.zeros(2, 1, 8, 8),)) == ((2, 16, 8),)


def test_mixed_samples_have_two_labels(task: Task, guided: GuidanceOf) -> None:
    """The label's part of the loss is mixed as the image was."""
    guidance = guided(alpha=0.0, mixup=1.0)
    student = hybrid(8, 2, seed=0)
    batch = first_batch(task, guidance)

    loss, _ = loss_of(student, Silent(), guidance, batch)

    assert batch.part is not None
    assert batch.other_labels is not None
    logs = F.log_softmax(student(*batch.inputs), 1)
    rows = range(8)
    own, other = (logs[rows, labels] for labels in (batch.labels, batch.other_labels))
    torch.testing.assert_close(loss, -(batch.part * own + (1 - batch.part) * other).mean())


def test_a_student_with_other_logits_than_the_teacher_is_refused(task: Task, guided: GuidanceOf) -> None:
    """One sentence with both shapes."""
    teacher = ModuleTeacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), "digest", ())
    guidance = guided()
    with pytest.raises(ConfigError, match=r"\(8, 5\).*\(8, 7\)"):
        loss_of(hybrid(8, 2, seed=0), teacher, guidance, first_batch(task, guidance))


def test_logits_are_the_first_of_several_outputs(task: Task, guided: GuidanceOf) -> None:
    """A network that gives more than logits is taught by them."""

    class Two(nn.Module):
        """Gives logits and features."""

        def __init__(self) -> None:
            """Keep a network."""
            super().__init__()
            self.inner = hybrid(8, 2, seed=0)

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            """Return both by name."""
            return {"logits": self.inner(images), "features": self.inner.features(images)}

    guidance = guided()
    teacher = ModuleTeacher(hybrid(4, 2, seed=1), "digest", ())
    batch = first_batch(task, guidance)

    assert torch.equal(logits_from(Two(), batch.inputs), Two().inner(*batch.inputs))
    assert torch.equal(
        loss_of(Two(), teacher, guidance, batch)[0], loss_of(hybrid(8, 2, seed=0), teacher, guidance, batch)[0]
    )
