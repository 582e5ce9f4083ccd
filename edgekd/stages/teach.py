"""teach: a teacher trained on labels, or the one that was given: a network, an ONNX file, or several of them."""

from pathlib import Path

import numpy as np
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.networks.blackbox import average
from edgekd.networks.graph_counting import count_graph_macs, count_graph_parameters
from edgekd.networks.network import Network
from edgekd.stages.fitness import check_given_folder, given_graph
from edgekd.stages.origin import built
from edgekd.stages.recovery import run_of, say_size
from edgekd.stages.result import (
    ensure_better_than_chance,
    ensure_same_answers,
    least_accuracy,
    logits_in,
    save_result,
    write_graph,
)
from edgekd.stages.settings import Teach
from edgekd.stages.stage import Env, Inputs, Record
from edgekd.train.batches import training_batches
from edgekd.train.fit import fit
from edgekd.train.supervised import Supervised


def run(settings: Teach, _inputs: Inputs, out: Path, env: Env) -> Record:
    """Save the teacher; its accuracy is measured, and one that was given has to be worth listening to."""
    if settings.is_black_box:
        record = _save_black_box(settings, out, env)
    else:
        network, module = _network(settings, env)
        record = save_result(out, network, module, env)
    accuracy = record["validation_accuracy"]
    env.progress.say(f"teach: the teacher is right on {accuracy:.1%} of {len(env.task.validation)} validation samples")
    is_trained = bool(settings.epochs) and not settings.given
    if not is_trained and accuracy <= least_accuracy(env.task):
        message = (
            f"teach: the teacher that was given is right on {accuracy:.1%} of the validation data, where "
            f"{least_accuracy(env.task):.1%} is hardly more than chance; it was made for other data, other labels "
            "(their order counts) or another pre-processing: see data.mean, data.std and data.labels."
        )
        raise ConfigError(message)
    return record


def ensures(settings: Teach, _inputs: Inputs, out: Path, env: Env) -> None:
    """Promise: better than chance, and the same answers from the saved network and its ONNX graph."""
    ensure_better_than_chance(out, env.task, "teach")
    if not settings.is_black_box:
        ensure_same_answers(out, env.task)


def _save_black_box(settings: Teach, out: Path, env: Env) -> Record:
    """Write the given graphs as one and return what is known of it."""
    graph = average([given_graph(given, env.task) for given in settings.given])
    write_graph(out, graph)
    right = logits_in(out, env.task, env.task.validation).argmax(1) == env.task.validation.targets
    return {
        "teachers": list(settings.given),
        "parameters": count_graph_parameters(graph),
        "macs": count_graph_macs(graph, env.task.read(env.task.validation, slice(0, 1))),
        "validation_accuracy": float(np.mean(right)),
    }


def _network(settings: Teach, env: Env) -> tuple[Network, nn.Module]:
    """Return the teacher as a network: given, loaded, or trained."""
    if settings.given:
        return check_given_folder(settings.given[0], env.task)
    network, module = built(settings, env.task, seed=env.seed)
    if settings.epochs:
        batches = training_batches(env.task, settings, seed=env.seed, world=env.world)
        say_size("teach", settings, batches, env)
        objective = Supervised(module, label_smoothing=settings.label_smoothing)
        fit(objective, batches, run_of("teach", module, env))
        module.cpu()
    return network, module
