"""Training a network with a teacher: distillation, and the recovery after every cut."""

from pathlib import Path

from torch import nn

from edgekd.distill.guidance import Guidance
from edgekd.distill.logit_cache import LogitCache
from edgekd.distill.objective import Guided, guidance_needs_teacher
from edgekd.distill.taps import tapped
from edgekd.distill.teacher import load_teacher
from edgekd.networks.answer import examples
from edgekd.stages.stage import Env
from edgekd.train.batches import Batches, training_batches
from edgekd.train.evaluate import accuracy_of
from edgekd.train.fit import Run, fit
from edgekd.train.training import Training

EXAMPLES = 2


def recover(name: str, student: nn.Module, teacher_folder: Path, settings: Guidance, env: Env) -> None:
    """Train *student* in place with the teacher in *teacher_folder*, as *settings* weigh the terms of the loss.

    Continues where a killed run of the same stage stopped. The teacher's logits come from the cache where they are
    in it, and go there where not.
    """
    batches = training_batches(env.task, settings, seed=env.seed, world=env.world)
    say_size(name, settings, batches, env)
    teacher = load_teacher(teacher_folder, taps=settings.teacher_taps)
    cache = None if guidance_needs_teacher(settings) else LogitCache(env.cache / "logits", teacher, batches)
    with tapped(student, settings.student_taps) as taps:
        objective = Guided(student, teacher, settings, taps=taps, cached=cache.logits if cache else None)
        if settings.feature_weight:
            objective.add_matchers(examples(env.task.shapes, batch=EXAMPLES), seed=env.seed)
        fit(objective, batches, run_of(name, student, env))
    student.cpu()
    if cache is not None:
        env.progress.say(f"{name}: teacher's logits: {cache.computed} computed, {cache.reused} reused")


def say_size(name: str, settings: Training, batches: Batches, env: Env) -> None:
    """Say where the data has too few samples for the batch that was asked for."""
    if batches.training.batch_size != settings.batch_size:
        env.progress.say(
            f"{name}: batches of {batches.training.batch_size}: there are {len(env.task.train)} training samples, "
            f"fewer than batch_size = {settings.batch_size}"
        )


def run_of(name: str, network: nn.Module, env: Env) -> Run:
    """Return where the training of *network* in stage *name* runs, reports and saves."""
    return Run(
        name=name,
        progress=env.progress,
        checkpoint=env.scratch / "training.safetensors",
        device=env.device,
        judge=lambda: accuracy_of(network, env.task, env.task.validation, world=env.world),
    )
