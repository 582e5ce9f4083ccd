"""distill: a mobile student trained with the teacher's soft targets and, where asked, its features."""

from pathlib import Path

import torch
from torch import Tensor, nn

from edgekd.distill.taps import FeatureMatcher, channels_at, tap
from edgekd.networks.network import Network, build, load_network
from edgekd.stages.recovery import frozen, recover, run_of, soft_target_objective
from edgekd.stages.result import ensure_better_than_chance, ensure_same_answers, save_result
from edgekd.stages.settings import Distill
from edgekd.stages.stage import Env, Inputs, Record
from edgekd.train.batches import training_batches
from edgekd.train.fit import fit

_STUDENT_SEED = 1
"""Added to the seed, so that the student does not start from the teacher's random numbers."""


def run(settings: Distill, inputs: Inputs, out: Path, env: Env) -> Record:
    """Train and save the student."""
    _, teacher = load_network(inputs["teacher"])
    network = Network(factory=settings.factory, arguments=settings.arguments)
    student = build(network, seed=env.seed + _STUDENT_SEED)
    if settings.feature_weight > 0:
        _train_with_features(student, frozen(teacher), settings, env)
    else:
        recover("distill", student, teacher, settings, env)
    return save_result(out, network, student, env)


def ensures(_settings: Distill, _inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: better than chance, and the same answers from the saved network and its ONNX graph."""
    ensure_better_than_chance(out, env.task, "distill")
    ensure_same_answers(out, env.task)


def _train_with_features(student: nn.Module, teacher: nn.Module, settings: Distill, env: Env) -> None:
    """Train with the soft-target loss plus the weighted hint loss between two taps."""
    example = torch.zeros(2, *env.task.input_shape)
    widths = (
        channels_at(student, settings.student_feature, example),
        channels_at(teacher, settings.teacher_feature, example),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(env.seed)
        matcher = FeatureMatcher(*widths)
    soft = soft_target_objective(student, teacher, settings)
    with tap(student, settings.student_feature) as mine, tap(teacher, settings.teacher_feature) as theirs:

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            value = soft(images, labels)
            matched: Tensor = matcher(mine[0], theirs[0])
            return value + settings.feature_weight * matched

        batches = training_batches(env.task, settings, seed=env.seed)
        fit(nn.ModuleDict({"student": student, "matcher": matcher}), loss, batches, run_of("distill", env))
