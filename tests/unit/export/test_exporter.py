"""From a module to a graph: inputs and outputs by the task's names, the batch free, the numbers the module's."""

import msgspec
import numpy as np
import torch
from several import both_network, both_samples, both_task
from torch import Tensor, nn

from edgekd.export.exporter import export_onnx
from edgekd.export.shapes import input_shapes, output_shapes
from edgekd.networks.session import every_answer, open_session
from edgekd.tasks.task import Task


class Spread(nn.Module):
    """Takes its inputs as they come and gives its outputs by name."""

    def __init__(self) -> None:
        """Keep a network."""
        super().__init__()
        self.inner = both_network()

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return logits and features."""
        logits, features = self.inner(*inputs)
        return {"logits": logits, "features": features}


def renamed(task: Task) -> Task:
    """Return *task* with other names for all that goes in and comes out."""
    inputs = tuple(
        msgspec.structs.replace(entry, name=name) for entry, name in zip(task.inputs, ("eye", "ear"), strict=True)
    )
    return msgspec.structs.replace(task, inputs=inputs, outputs=("answer", "reasons"))


def test_inputs_and_outputs_have_the_tasks_names_and_order() -> None:
    """Every one with its shape behind a free batch."""
    graph = export_onnx(both_network(), renamed(both_task()))
    (batch, *_) = input_shapes(graph)["eye"]

    assert isinstance(batch, str)
    assert input_shapes(graph) == {"eye": (batch, 1, 12, 12), "ear": (batch, 2, 40)}
    assert output_shapes(graph) == {"answer": (batch, 4), "reasons": (batch, 16)}


def test_a_network_of_any_number_of_inputs_is_exported_alike() -> None:
    """``*inputs`` in, a mapping out: same numbers, for one sample and for many."""
    session = open_session(export_onnx(Spread(), both_task()))
    with torch.no_grad():
        expected = [tensor.numpy() for tensor in both_network()(*both_samples())]
    for count in (1, 96):
        found = every_answer(session, [tuple(tensor[:count].numpy() for tensor in both_samples())])
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs[:count], rtol=1e-4, atol=1e-5)
