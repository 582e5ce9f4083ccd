"""What every stage leaves: both forms of a network, compared output by output, and judged against a guess."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from samples import image_task
from several import Both, both_network, both_task

from edgekd.core.errors import ParityError
from edgekd.core.progress import SilentProgress
from edgekd.networks.layout import GRAPH
from edgekd.networks.network import Network
from edgekd.stages.result import ensure_same_answers, least_accuracy, logits_in, save_result, some_of
from edgekd.stages.stage import Env
from edgekd.tasks.task import Split

BOTH = Network(factory="several:Both")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the result of a network with two inputs and two outputs."""
    folder = tmp_path_factory.mktemp("both")
    env = Env(task=both_task(), seed=0, progress=SilentProgress(), scratch=folder, cache=folder)
    record = save_result(folder, BOTH, both_network(), env)
    assert record["parameters"] == sum(parameter.numel() for parameter in Both().parameters())
    return folder


def test_both_forms_give_the_same_outputs(saved: Path) -> None:
    """All of them; the logits of either form are the same too."""
    ensure_same_answers(saved, both_task())
    task = both_task()

    assert logits_in(saved, task, task.test).shape == (96, 4)


@pytest.mark.parametrize(("name", "output"), [("join.bias", "logits"), ("classifier.bias", "logits")])
def test_a_graph_that_answers_otherwise_is_found(saved: Path, tmp_path: Path, name: str, output: str) -> None:
    """A bias that moved, in what leads to the first output."""
    _copy(saved, tmp_path, name)

    with pytest.raises(ParityError, match=f"differ by .* in '{output}'"):
        ensure_same_answers(tmp_path, both_task())


def test_a_wrong_second_output_is_found_by_its_name(saved: Path, tmp_path: Path) -> None:
    """The logits agree, the features do not: they are of a node that came before them."""
    _copy(saved, tmp_path, "")
    graph = onnx.load(tmp_path / GRAPH)
    doubled = onnx.helper.make_node("Add", ["features", "features"], ["doubled"], name="doubled")
    graph.graph.node.append(doubled)
    graph.graph.output[1].name = "doubled"
    onnx.save(graph, tmp_path / GRAPH)

    with pytest.raises(ParityError, match="in 'features'"):
        ensure_same_answers(tmp_path, both_task())


def _copy(saved: Path, folder: Path, name: str) -> None:
    """Copy a result; add 1 to the constant *name* of its graph."""
    for path in saved.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    graph = onnx.load(folder / GRAPH)
    for tensor in graph.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1), name))
    onnx.save(graph, folder / GRAPH)


def test_a_guess_is_the_commonest_class() -> None:
    """6 of 10 are of one class: 60 %, and 5 % of the 40 % that are left to know."""
    labels = np.array([1] * 6 + [0] * 3 + [2])
    task = image_task(np.zeros((10, 1, 2, 2), dtype=np.uint8), labels, classes=3)

    assert least_accuracy(task) == pytest.approx(0.62)


def test_some_of_a_split_are_its_first_in_all_inputs() -> None:
    """With their labels where there are any."""
    split = both_task().train
    some = some_of(split, 5)
    bare = some_of(msgspec.structs.replace(split, labels=None), 5)

    assert (len(some), [len(rows) for rows in some.inputs]) == (5, [5, 5])
    assert some.targets.tolist() == split.targets[:5].tolist()
    assert bare.labels is None
    assert isinstance(bare, Split)
