"""teach: a teacher trained from a random start on labels alone, or the one that was given."""

from pathlib import Path

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from edgekd.networks.network import Network, build, load_network
from edgekd.stages.fitness import check_answer
from edgekd.stages.recovery import run_of
from edgekd.stages.result import ensure_better_than_chance, ensure_same_answers, save_result
from edgekd.stages.settings import Teach
from edgekd.stages.stage import Env, Inputs, Record
from edgekd.tasks.task import Task
from edgekd.train.batches import training_batches
from edgekd.train.evaluate import answer_shape
from edgekd.train.fit import fit


def run(settings: Teach, _inputs: Inputs, out: Path, env: Env) -> Record:
    """Train and save the teacher, or save the given one."""
    network, module = _given(settings, env.task) if settings.given else _trained(settings, env)
    return save_result(out, network, module, env)


def ensures(_settings: Teach, _inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: better than chance, and the same answers from the saved network and its ONNX graph."""
    ensure_better_than_chance(out, env.task, "teach")
    ensure_same_answers(out, env.task)


def _given(settings: Teach, task: Task) -> tuple[Network, nn.Module]:
    """Return the given teacher; ConfigError where it does not fit the task."""
    network, module = load_network(Path(settings.given))
    check_answer(answer_shape(module, task), task, where=f"teach.given: {settings.given}")
    return network, module


def _trained(settings: Teach, env: Env) -> tuple[Network, nn.Module]:
    """Return a teacher trained on labels."""
    network = Network(factory=settings.factory, arguments=settings.arguments)
    module = build(network, seed=env.seed)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(module(images), labels, label_smoothing=settings.label_smoothing)

    fit(module, loss, training_batches(env.task, settings, seed=env.seed), run_of("teach", env))
    return network, module
