"""Whether the networks of a plan fit its task: asked of all of them before the first one is trained."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.distill.taps import shapes_at
from edgekd.networks.answer import examples
from edgekd.networks.network import Network, load_network
from edgekd.stages.origin import built
from edgekd.stages.settings import Distill, Settings, Teach
from edgekd.tasks.task import Task
from edgekd.train.evaluate import answer_shapes

_EXAMPLES = 2


def check_networks(stages: Sequence[Settings], task: Task) -> None:
    """Raise ConfigError where a network cannot be built, does not answer as the task wants, or has no tapped module."""
    teacher: nn.Module | None = None
    for settings in stages:
        if isinstance(settings, Teach) and not settings.is_black_box:
            teacher = _teacher(settings, task)
        if isinstance(settings, Distill):
            student = _built(settings, task)
            shapes_at(student, settings.student_taps, examples(task.shapes, batch=_EXAMPLES))
            if teacher is not None:
                shapes_at(teacher, settings.teacher_taps, examples(task.shapes, batch=_EXAMPLES))


def check_given_folder(folder: str, task: Task) -> tuple[Network, nn.Module]:
    """Return the network saved in *folder*; ConfigError where it does not answer as the task wants."""
    network, module = load_network(Path(folder))
    check_answers(answer_shapes(module, task), task, where=f"teach.given: {folder}")
    return network, module


def check_answers(shapes: tuple[tuple[int, ...], ...], task: Task, *, where: str) -> None:
    """Raise ConfigError unless the first of *shapes* (without the batch) is one logit for each class of *task*."""
    if shapes[0] != (len(task.labels),):
        message = (
            f"{where}: answers with shape {shapes[0]}; the task '{task.name}' wants ({len(task.labels)},), one logit "
            "for each class: pass the number of classes to the network, or take another."
        )
        raise ConfigError(message)


def _teacher(settings: Teach, task: Task) -> nn.Module:
    """Return the teacher's network, given or built."""
    if settings.given:
        return check_given_folder(settings.given[0], task)[1]
    return _built(settings, task)


def _built(settings: Teach | Distill, task: Task) -> nn.Module:
    """Return the module of *settings*, with its weights."""
    _, module = built(settings, task, seed=0)
    where = f"{settings.stage.name}: {settings.factory}"
    shapes = answer_shapes(module, task)
    check_answers(shapes, task, where=where)
    if len(shapes) != len(task.outputs):
        message = f"{where}: gives {len(shapes)} outputs; the task '{task.name}' names {len(task.outputs)}."
        raise ConfigError(message)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        message = f"{where}: has no parameter that can be trained."
        raise ConfigError(message)
    return module
