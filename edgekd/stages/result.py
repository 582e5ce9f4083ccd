"""The form in which every stage that gives a network leaves it: structure, weights, and its ONNX graph."""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from edgekd.core.disk import write_atomically
from edgekd.core.errors import ParityError, StageError
from edgekd.export.exporter import export_onnx
from edgekd.networks.counting import count_macs, count_parameters
from edgekd.networks.layout import GRAPH, STRUCTURE
from edgekd.networks.network import Network, load_network, save_network
from edgekd.networks.session import answers, every_answer, open_session
from edgekd.stages.stage import Env, Record
from edgekd.tasks.task import Split, Task
from edgekd.train.evaluate import accuracy_of, every_output, logits_of

TOLERANCE: Final = 1e-3
"""Largest difference of an output, relative to its largest, between torch and ONNX Runtime in float32."""

PARITY_SAMPLES: Final = 1000
"""Validation samples on which two forms of a network are compared."""

MARGIN: Final = 0.05
"""How much of what a guess leaves wrong a network must know better."""


def save_result(out: Path, network: Network, module: nn.Module, env: Env) -> Record:
    """Write *module* to *out* in both forms and return what is known of it; accuracy is that on validation data."""
    save_network(out, network, module)
    write_graph(out, export_onnx(module, env.task))
    return {
        "parameters": count_parameters(module),
        "macs": count_macs(module, *env.task.shapes),
        "validation_accuracy": accuracy_of(module, env.task, env.task.validation, world=env.world),
    }


def write_graph(out: Path, graph: onnx.ModelProto) -> None:
    """Write *graph* to its place in *out*."""
    write_atomically(out / GRAPH, graph.SerializeToString(deterministic=True))


def read_graph(folder: Path) -> onnx.ModelProto:
    """Return the ONNX graph in the result *folder*."""
    return onnx.load(folder / GRAPH)


def some_of(split: Split, count: int = PARITY_SAMPLES) -> Split:
    """Return the first *count* samples of *split*."""
    labels = None if split.labels is None else split.labels[:count]
    return Split(inputs=tuple(rows[:count] for rows in split.inputs), labels=labels)


def logits_in(folder: Path, task: Task, split: Split) -> NDArray[np.float32]:
    """Return the logits (n, classes) of the network in the result *folder*, or of its graph where it is one alone."""
    if (folder / STRUCTURE).is_file():
        found: NDArray[np.float32] = logits_of(load_network(folder)[1], task, split).numpy()
        return found
    return answers(open_session(folder / GRAPH), task.batches(split))


def ensure_same_answers(out: Path, task: Task) -> None:
    """Raise ParityError unless the saved network, rebuilt, and its ONNX graph give the same outputs."""
    _, module = load_network(out)
    split = some_of(task.validation)
    found = every_answer(open_session(out / GRAPH), task.batches(split))
    for name, mine, theirs in zip(task.outputs, every_output(module, task, split), found, strict=True):
        expected = mine.numpy()
        difference = float(np.abs(theirs - expected).max())
        bound = TOLERANCE * max(1.0, float(np.abs(expected).max()))
        if not difference <= bound:
            message = f"{out}: torch and ONNX Runtime differ by {difference:.2g} in '{name}'; expected {bound:.2g}."
            raise ParityError(message)


def least_accuracy(task: Task) -> float:
    """Return what a network must exceed on validation data to beat one that always names the commonest class."""
    guess = float(np.bincount(task.validation.targets).max()) / len(task.validation)
    return guess + MARGIN * (1 - guess)


def ensure_better_than_chance(out: Path, task: Task, stage: str) -> None:
    """Raise StageError where the network in *out* knows no more of the validation data than a guess."""
    accuracy = float((logits_in(out, task, task.validation).argmax(1) == task.validation.targets).mean())
    if accuracy <= least_accuracy(task):
        message = (
            f"{stage}: the network is right on {accuracy:.1%} of the validation data, hardly more than by chance; "
            f"raise {stage}.epochs or change {stage}.lr."
        )
        raise StageError(message)
