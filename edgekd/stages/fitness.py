"""Whether the networks of a plan fit its task: asked of all of them before the first one is trained."""

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.distill.taps import shapes_at
from edgekd.export.exporter import export_onnx
from edgekd.export.integer_forms import with_integer_forms
from edgekd.networks.answer import examples
from edgekd.networks.blackbox import fitted, read_onnx
from edgekd.networks.network import Network, load_network
from edgekd.networks.session import answers, open_session
from edgekd.quantize.placement import PLACEMENTS, place
from edgekd.quantize.simulation import SimulatedGraph
from edgekd.stages.export import as_shipped
from edgekd.stages.origin import built
from edgekd.stages.settings import ONNX_SUFFIX, Distill, Export, FactorizeLayers, Prune, Quantize, Settings, Teach
from edgekd.tasks.task import Task
from edgekd.train.evaluate import answer_shapes

_EXAMPLES = 2


def check_networks(stages: Sequence[Settings], task: Task) -> None:
    """Raise ConfigError where a network cannot be built, does not answer as the task wants, or has no tapped module.

    Also where a teacher's ONNX file does not fit the task, and where the network that ships holds an operator that
    cannot be quantized and is to be, or that the target's runtime does not have.
    """
    teacher: nn.Module | None = None
    student: nn.Module | None = None
    for settings in stages:
        if isinstance(settings, Teach) and settings.is_black_box:
            for given in settings.given:
                given_graph(given, task)
        elif isinstance(settings, Teach):
            teacher = student = _teacher(settings, task)
        if isinstance(settings, Distill):
            student = _built(settings, task)
            _check_taps(student, settings.student_taps, task, where="distill.student")
            _check_taps(teacher, settings.teacher_taps, task, where="distill.teacher")
        if isinstance(settings, Prune | FactorizeLayers):
            source = student if settings.source == "uncompressed" else teacher
            _check_taps(student, settings.student_taps, task, where=f"{settings.stage.name}.student")
            _check_taps(source, settings.teacher_taps, task, where=f"{settings.stage.name}.teacher")
        if isinstance(settings, Quantize) and student is not None:
            _check_operators(student, settings, task)
        if isinstance(settings, Export) and student is not None:
            as_shipped(export_onnx(student, task), "fp32", settings)


def check_given_folder(folder: str, task: Task) -> tuple[Network, nn.Module]:
    """Return the network saved in *folder*; ConfigError where it does not answer as the task wants."""
    network, module = load_network(Path(folder))
    check_answers(answer_shapes(module, task), task, where=f"teach.given: {folder}")
    return network, module


def given_graph(given: str, task: Task) -> onnx.ModelProto:
    """Return one given teacher as an ONNX graph that takes and gives what *task* wants, or raise ConfigError."""
    if given.endswith(ONNX_SUFFIX):
        graph = fitted(
            read_onnx(Path(given)), {entry.name: entry.shape for entry in task.inputs}, where=f"teach.given: {given}"
        )
        check_answers((_logits_shape(graph, task, given),), task, where=f"teach.given: {given}")
        return graph
    return export_onnx(check_given_folder(given, task)[1], task)


def _logits_shape(graph: onnx.ModelProto, task: Task, given: str) -> tuple[int, ...]:
    """Return the shape of the first output for one sample, without the batch; ConfigError where it cannot run."""
    sample = task.read(task.validation, slice(0, 1))
    session = open_session(graph)
    try:
        logits = answers(session, [sample])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types from its native code
        reason = str(error).strip().partition("\n")[0]
        message = f"teach.given: {given}: ONNX Runtime cannot run it on a sample of '{task.name}': {reason}."
        raise ConfigError(message) from error
    return tuple(logits.shape[1:])


def check_answers(shapes: tuple[tuple[int, ...], ...], task: Task, *, where: str) -> None:
    """Raise ConfigError unless the first of *shapes* (without the batch) is one logit for each class of *task*."""
    if shapes[0] != (len(task.labels),):
        message = (
            f"{where}: answers with shape {shapes[0]}; the task '{task.name}' wants ({len(task.labels)},), one logit "
            "for each class: pass the number of classes to the network, or take another."
        )
        raise ConfigError(message)


def _check_taps(module: nn.Module | None, paths: Sequence[str], task: Task, *, where: str) -> None:
    """Raise ConfigError where *module* has no module at one of *paths*, or it does not run; None has none."""
    if module is None or not paths:
        return
    try:
        shapes_at(module, paths, examples(task.shapes, batch=_EXAMPLES))
    except ConfigError as error:
        message = f"{where}: {error}"
        raise ConfigError(message) from error


def _check_operators(student: nn.Module, settings: Quantize, task: Task) -> None:
    """Raise ConfigError where the graph of *student* holds what the quantizer does not know, after running it once."""
    graph = with_integer_forms(export_onnx(student, task))
    simulation = SimulatedGraph(graph, place(graph.graph, PLACEMENTS[settings.placement]))
    try:
        with torch.no_grad():
            simulation(*examples(task.shapes, batch=_EXAMPLES))
    except ConfigError as error:
        message = f"{str(error).rstrip('.')}: --set export.precision=fp32 or fp16."
        raise ConfigError(message) from error


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
