"""The form in which every stage that gives a network leaves it: structure, weights, and its ONNX graph."""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from torch import nn

from edgekd.core.disk import write_atomically
from edgekd.core.errors import ParityError, StageError
from edgekd.export.exporter import export_onnx
from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.network import Network, load_network, save_network
from edgekd.networks.session import answers, open_session
from edgekd.stages.stage import Env, Record
from edgekd.tasks.task import Task
from edgekd.train.evaluate import accuracy_of, logits_of

GRAPH: Final = "graph.onnx"

TOLERANCE: Final = 1e-3
"""Largest difference of logits, relative to the largest, between torch and ONNX Runtime in float32."""


def save_result(out: Path, network: Network, module: nn.Module, env: Env) -> Record:
    """Write *module* to *out* in both forms and return what is known of it; accuracy is that on validation data."""
    save_network(out, network, module)
    write_graph(out, export_onnx(module, env.task))
    return {
        "parameters": count_parameters(module),
        "macs": count_macs(module, env.task.input_shape),
        "validation_accuracy": accuracy_of(module, env.task, env.task.validation),
    }


def write_graph(out: Path, graph: onnx.ModelProto) -> None:
    """Write *graph* to its place in *out*."""
    write_atomically(out / GRAPH, graph.SerializeToString(deterministic=True))


def read_graph(folder: Path) -> onnx.ModelProto:
    """Return the ONNX graph in the result *folder*."""
    return onnx.load(folder / GRAPH)


def ensure_same_answers(out: Path, task: Task) -> None:
    """Raise ParityError unless the saved network, rebuilt, and its ONNX graph give the same logits."""
    _, module = load_network(out)
    expected = logits_of(module, task, task.validation).numpy()
    found = answers(open_session(out / GRAPH), task.normalize(task.validation.images))
    difference = float(np.abs(found - expected).max())
    bound = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not difference <= bound:
        message = f"{out}: torch and ONNX Runtime differ by {difference:.2g} in a logit; expected at most {bound:.2g}."
        raise ParityError(message)


def ensure_better_than_chance(out: Path, task: Task, stage: str) -> None:
    """Raise StageError where the network in *out* knows no more of the validation data than a guess."""
    _, module = load_network(out)
    accuracy = accuracy_of(module, task, task.validation)
    if accuracy <= 1.5 / len(task.labels):
        message = (
            f"{stage}: the network is right on {accuracy:.1%} of the validation data, hardly more than by chance; "
            f"raise {stage}.epochs or change {stage}.lr."
        )
        raise StageError(message)
