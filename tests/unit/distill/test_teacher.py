"""Teachers: a network and its ONNX graph say the same, inside too, and neither changes while it teaches."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from edgekd.core.errors import ConfigError
from edgekd.core.progress import SilentProgress
from edgekd.distill.guidance import Guidance
from edgekd.distill.objective import Guided
from edgekd.distill.taps import Taps, tapped
from edgekd.distill.teacher import ModuleTeacher, OnnxTeacher, load_teacher, with_outputs
from edgekd.networks.layout import GRAPH
from edgekd.networks.network import load_network
from edgekd.tasks.task import Task
from edgekd.train.batches import training_batches
from edgekd.train.fit import Run, fit

GuidanceOf = Callable[..., Guidance]


def images(task: Task, count: int = 6) -> tuple[Tensor, ...]:
    """Return some images as a network takes them."""
    return tuple(torch.from_numpy(array) for array in task.read(task.train, slice(0, count)))


def relus(folder: Path) -> list[str]:
    """Return the values that the graph's ReLUs give, in order."""
    return [node.output[0] for node in onnx.load(folder / GRAPH).graph.node if node.op_type == "Relu"]


def student() -> nn.Sequential:
    """Return a small student with a norm of its own."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


def test_a_folder_with_a_network_gives_the_network_and_one_with_a_graph_the_graph(
    teacher_folder: Path, onnx_folder: Path
) -> None:
    """The network is faster and can be on another device; a black box is run as it is."""
    assert isinstance(load_teacher(teacher_folder), ModuleTeacher)
    assert isinstance(load_teacher(onnx_folder), OnnxTeacher)


def test_a_network_and_its_graph_give_the_same_logits(task: Task, teacher_folder: Path, onnx_folder: Path) -> None:
    """But for the order of float32 sums."""
    first, second = (load_teacher(folder).answer(images(task)).logits for folder in (teacher_folder, onnx_folder))

    assert first.shape == second.shape == (6, 5)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_taps_on_modules_and_on_values_give_equal_tensors(task: Task, teacher_folder: Path, onnx_folder: Path) -> None:
    """The stem's ReLU is the graph's first; the order is the one that was asked, and a name may come twice."""
    first, *_, last = relus(onnx_folder)
    paths = [name for name, module in load_network(teacher_folder)[1].named_modules() if isinstance(module, nn.ReLU)]
    inside = load_teacher(teacher_folder, taps=("classifier", "stem", "stem")).answer(images(task))

    logits_name = onnx.load(onnx_folder / GRAPH).graph.output[0].name
    black = load_teacher(onnx_folder, taps=(logits_name, first, first)).answer(images(task))

    assert paths
    assert last != first
    torch.testing.assert_close(inside.logits, inside.tapped[0])
    for mine, theirs in zip(inside.tapped, black.tapped, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_wrong_path_is_answered_with_near_ones(teacher_folder: Path, onnx_folder: Path) -> None:
    """When the teacher is loaded, before a step is made."""
    name = relus(onnx_folder)[0]
    with pytest.raises(ConfigError, match=r"tap 'stemm': .* did you mean 'stem'"):
        load_teacher(teacher_folder, taps=("stemm",))
    with pytest.raises(ConfigError, match=rf"'{name}x': the teacher's ONNX graph has no such value; .*'{name}'"):
        load_teacher(onnx_folder, taps=(f"{name}x",))


def test_the_graph_with_more_outputs_is_a_copy(onnx_folder: Path) -> None:
    """The logits stay the first output and the file's own graph as it was."""
    graph = onnx.load(onnx_folder / GRAPH)
    before = graph.SerializeToString()
    first, second, *_ = relus(onnx_folder)

    outputs = [value.name for value in with_outputs(graph, [second, first, second]).graph.output]

    assert outputs == [graph.graph.output[0].name, second, first]
    assert graph.SerializeToString() == before


@pytest.mark.parametrize("kind", ["network", "black box"])
def test_answers_carry_no_gradient(task: Task, teacher_folder: Path, onnx_folder: Path, kind: str) -> None:
    """Even where gradients are on."""
    folder, tap = (teacher_folder, "stem") if kind == "network" else (onnx_folder, relus(onnx_folder)[0])

    answer = load_teacher(folder, taps=(tap,)).answer(images(task))

    assert not any(tensor.requires_grad for tensor in (answer.logits, *answer.tapped))


def test_a_teacher_never_changes(task: Task, teacher_folder: Path, guided: GuidanceOf, tmp_path: Path) -> None:
    """Parameters, running statistics and mode are the same bits after an epoch of teaching, with features tapped."""
    module = load_network(teacher_folder)[1].train()
    before = copy.deepcopy(module.state_dict())
    guidance = guided(
        epochs=1, feature_weight=1.0, attention_weight=1.0, student_features=["2"], teacher_features=["stem"]
    )
    teacher = ModuleTeacher(module, "digest", guidance.teacher_taps)
    network = student()
    start = copy.deepcopy(network.state_dict())
    with tapped(network, guidance.student_taps) as taps:
        objective = Guided(network, teacher, guidance, taps=taps, cached=None)
        objective.add_matchers(images(task), seed=0)
        run = Run(name="distill", progress=SilentProgress(), checkpoint=tmp_path / "checkpoint")
        fit(objective, training_batches(task, guidance, seed=0), run)

    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not module.training
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in module.parameters())
    assert not torch.equal(network.state_dict()["0.weight"], start["0.weight"])


def test_the_teacher_is_no_part_of_what_is_trained(teacher_folder: Path, guided: GuidanceOf) -> None:
    """Nothing of it reaches the optimizer or the checkpoint."""
    network = student()
    objective = Guided(network, load_teacher(teacher_folder), guided(), taps=Taps(()), cached=None)

    assert {name for name, _ in objective.named_parameters()} == {
        f"student.{name}" for name, _ in network.named_parameters()
    }


def test_a_black_box_that_takes_one_sample_at_a_time_answers_for_a_batch(task: Task) -> None:
    """Many exported files fix their batch to one: the samples go through it in turn, taps too."""
    weights = np.random.default_rng(0).standard_normal((64, 5)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["image", "flat"], ["row"]),
            helper.make_node("MatMul", ["row", "weights"], ["logits"]),
        ],
        "single",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1, 64]), "flat")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

    answer = OnnxTeacher(model, "digest", ("row",), threads=1).answer(images(task))

    rows = images(task)[0].flatten(1)
    torch.testing.assert_close(answer.tapped[0], rows)
    torch.testing.assert_close(answer.logits, rows @ torch.from_numpy(weights), rtol=1e-4, atol=1e-4)
