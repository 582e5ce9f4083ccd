"""Who teaches: a network of ours, or an ONNX file as a black box. Both give logits, and what is inside where asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec
import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

from edgekd.core.digest import file_digest, json_digest
from edgekd.core.errors import ConfigError
from edgekd.core.strict import suggestion
from edgekd.distill.taps import tapped
from edgekd.networks.answer import logits_from
from edgekd.networks.catalog import source_of
from edgekd.networks.layout import GRAPH, STRUCTURE, WEIGHTS
from edgekd.networks.network import load_network
from edgekd.networks.session import every_answer, open_session

_FILES: Final = (STRUCTURE, WEIGHTS, GRAPH)


class Answer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """*logits* (n, classes), and the *tapped* tensors in the order in which they were asked for."""

    logits: Tensor
    tapped: tuple[Tensor, ...]


class Teacher(Protocol):
    """What teaches. *digest* is over all bytes that its answers depend on."""

    digest: str

    def answer(self, inputs: Sequence[Tensor]) -> Answer:
        """Return what it says of *inputs*, without gradients, on their device."""
        ...


class ModuleTeacher:
    """A network of ours, in evaluation mode, its parameters without gradients."""

    def __init__(self, module: nn.Module, digest: str, taps: Sequence[str]) -> None:
        """Answer with the outputs of the submodules *taps* too; ConfigError where there is none of that name."""
        with tapped(module, taps):
            pass  # looks for them
        self.digest = digest
        self._module = module.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._taps = tuple(taps)
        for parameter in module.parameters():
            parameter.requires_grad = False

    def answer(self, inputs: Sequence[Tensor]) -> Answer:
        """Return what it says of *inputs*."""
        device = inputs[0].device
        self._module.to(device)
        exact = torch.autocast(device.type, enabled=False)  # what is kept must not depend on who asks
        with torch.no_grad(), exact, tapped(self._module, self._taps) as seen:
            logits = logits_from(self._module, inputs)
            return Answer(logits=logits, tapped=tuple(seen))


class OnnxTeacher:
    """An ONNX file run by ONNX Runtime on the CPU; what is tapped are values of its graph, by name."""

    def __init__(self, model: ModelProto, digest: str, taps: Sequence[str], *, threads: int) -> None:
        """Open a session with *threads* threads that gives the values *taps* too."""
        self.digest = digest
        self._session = open_session(with_outputs(model, taps), threads=threads)
        self._names = [output.name for output in self._session.get_outputs()]
        self._outputs = [model.graph.output[0].name, *taps]

    def answer(self, inputs: Sequence[Tensor]) -> Answer:
        """Return what it says of *inputs*."""
        arrays = tuple(tensor.contiguous().cpu().numpy() for tensor in inputs)
        found = dict(zip(self._names, every_answer(self._session, [arrays]), strict=True))
        logits, *values = (torch.from_numpy(found[name]).to(inputs[0].device) for name in self._outputs)
        return Answer(logits=logits, tapped=tuple(values))


def load_teacher(folder: Path, *, taps: Sequence[str] = ()) -> Teacher:
    """Return the teacher in the result *folder*: its network where there is one, else its ONNX graph.

    Raises ConfigError with near names where one of *taps* is not in it.
    """
    digests = {name: file_digest(folder / name) for name in _FILES if (folder / name).is_file()}
    if (folder / STRUCTURE).is_file():
        network, module = load_network(folder)
        source = source_of(network.factory)
        digests["code"] = "" if source is None else file_digest(source)
        return ModuleTeacher(module, json_digest(digests), taps)
    digest = json_digest(digests)
    return OnnxTeacher(onnx.load(folder / GRAPH), digest, taps, threads=torch.get_num_threads())


def with_outputs(model: ModelProto, values: Sequence[str]) -> ModelProto:
    """Return a copy of *model* that also gives *values* of its graph; ConfigError with near names for another."""
    known = [name for node in model.graph.node for name in node.output if name]
    copied = ModelProto()
    copied.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    for value in dict.fromkeys(values):
        if value not in known:
            message = f"'{value}': the teacher's ONNX graph has no such value; {suggestion(value, known)}"
            raise ConfigError(message)
        if value not in present:
            copied.graph.output.append(onnx.helper.make_empty_tensor_value_info(value))
    return copied
