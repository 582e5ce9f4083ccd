"""teach: a teacher trained from a random start on labels alone."""

from pathlib import Path

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from edgekd.networks.network import Network, build
from edgekd.stages.recovery import run_of
from edgekd.stages.result import ensure_better_than_chance, ensure_same_answers, save_result
from edgekd.stages.settings import Teach
from edgekd.stages.stage import Env, Inputs, Record
from edgekd.train.batches import training_batches
from edgekd.train.fit import fit


def run(settings: Teach, _inputs: Inputs, out: Path, env: Env) -> Record:
    """Train and save the teacher."""
    network = Network(factory=settings.factory, arguments=settings.arguments)
    module = build(network, seed=env.seed)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(module(images), labels, label_smoothing=settings.label_smoothing)

    fit(module, loss, training_batches(env.task, settings, seed=env.seed), run_of("teach", env))
    return save_result(out, network, module, env)


def ensures(_settings: Teach, _inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: better than chance, and the same answers from the saved network and its ONNX graph."""
    ensure_better_than_chance(out, env.task, "teach")
    ensure_same_answers(out, env.task)
