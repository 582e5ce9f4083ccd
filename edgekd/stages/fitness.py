"""Whether the networks of a plan fit its task: asked of all of them before the first one is trained."""

from collections.abc import Sequence

from edgekd.core.errors import ConfigError
from edgekd.networks.network import Network, build
from edgekd.stages.settings import Distill, Settings, Teach
from edgekd.tasks.task import Task
from edgekd.train.evaluate import answer_shape


def check_networks(stages: Sequence[Settings], task: Task) -> None:
    """Raise ConfigError where a factory cannot be built, or its network does not give one logit for each class."""
    for settings in stages:
        if isinstance(settings, Teach | Distill) and not (isinstance(settings, Teach) and settings.given):
            network = Network(factory=settings.factory, arguments=settings.arguments)
            check_answer(answer_shape(build(network), task), task, where=f"{settings.stage.name}: {settings.factory}")


def check_answer(shape: tuple[int, ...], task: Task, *, where: str) -> None:
    """Raise ConfigError unless *shape* (without the batch) is one logit for each class of *task*."""
    if shape != (len(task.labels),):
        message = f"{where}: answers with shape {shape}; the task '{task.name}' wants ({len(task.labels)},)."
        raise ConfigError(message)
