"""The teacher: trained, loaded or given in any form, measured in every case, and refused where it knows nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from older import older_onnx
from onnx import TensorProto, helper
from several import both_network, both_task

from edgekd.core.errors import ConfigError, StageError
from edgekd.core.strict import convert
from edgekd.distill.teacher import load_teacher
from edgekd.networks.layout import GRAPH, STRUCTURE, WEIGHTS
from edgekd.networks.network import load_network
from edgekd.networks.session import answers, open_session
from edgekd.stages.settings import Teach
from edgekd.stages.stage import Env
from edgekd.stages.teach import ensures, run
from edgekd.tasks.task import Task

EnvOf = Callable[..., Env]
PathOf = Callable[..., Path]


def given(*teachers: Path, **fields: object) -> Teach:
    """Return the settings of given teachers."""
    return convert({"given": list(map(str, teachers))} | fields, Teach, where="recipe")


def logits(folder: Path, task: Task) -> NDArray[np.float32]:
    """Return what the graph in *folder* answers to the validation samples."""
    return answers(open_session(folder / GRAPH, arithmetic="reference"), task.batches(task.validation))


def test_an_onnx_teacher_is_kept_as_a_graph_and_measured(
    quadrants: Task, onnx_of: PathOf, env_of: EnvOf, out: Path
) -> None:
    """Right on all, 20 parameters, 4 x 4 multiplications; it cannot become the student."""
    log: list[str] = []
    settings = given(onnx_of("quadrants"))

    record = run(settings, {}, out, env_of(quadrants, log))
    ensures(settings, {}, out, env_of(quadrants))

    assert (record["validation_accuracy"], record["parameters"], record["macs"]) == (1.0, 20, 16)
    assert sorted(path.name for path in out.iterdir()) == [GRAPH]
    assert settings.gives == ("teacher",)
    assert "teach: the teacher is right on 100.0% of 96 validation samples" in log


def test_a_given_folder_is_a_network_that_can_be_compressed_itself(
    quadrants: Task, folder_of: PathOf, env_of: EnvOf, out: Path
) -> None:
    """Structure, weights and graph, the weights bit for bit those that were given; nothing is trained."""
    folder = folder_of("quadrants")
    settings = given(folder)

    record = run(settings, {}, out, env_of(quadrants))
    ensures(settings, {}, out, env_of(quadrants))

    assert record["validation_accuracy"] == 1.0
    assert (out / STRUCTURE).read_bytes() == (folder / STRUCTURE).read_bytes()
    assert (out / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert settings.gives == ("teacher", "student", "uncompressed")


def test_several_teachers_are_one_whose_logits_are_the_mean(
    quadrants: Task, folder_of: PathOf, onnx_of: PathOf, env_of: EnvOf, out: Path
) -> None:
    """Two files, one of which takes one sample at a time, and a folder: a single black box."""
    files = [onnx_of("quadrants"), onnx_of("quadrants", turn=1, is_free=False)]
    folder = folder_of("convolved")
    settings = given(*files, folder)

    record = run(settings, {}, out, env_of(quadrants))

    task = quadrants
    each = [answers(open_session(file), task.batches(task.validation)) for file in files]
    with torch.no_grad():
        images = torch.from_numpy(task.read(task.validation, slice(None))[0])
        each.append(load_network(folder)[1](images).numpy())
    np.testing.assert_allclose(logits(out, task), np.mean(each, axis=0), rtol=1e-4, atol=1e-4)
    assert record["teachers"] == list(settings.given)
    assert settings.is_black_box


def test_a_teacher_of_two_inputs_is_given_like_any_other(env_of: EnvOf, out: Path, tmp_path: Path) -> None:
    """Its inputs have the data's names, in the file's own order."""
    graph = older_onnx(both_network(), (1, 12, 12), (2, 40))
    for old, new in (("input_0", "image"), ("input_1", "sound")):
        for node in graph.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
    image, sound = graph.graph.input
    image.name, sound.name = "image", "sound"
    del graph.graph.input[:]
    graph.graph.input.extend([sound, image])
    onnx.save(graph, tmp_path / "both.onnx")
    task = both_task()

    with pytest.raises(ConfigError, match="hardly more than chance"):  # random weights: it is measured, then refused
        run(given(tmp_path / "both.onnx"), {}, out, env_of(task))

    inputs = tuple(torch.from_numpy(array) for array in task.read(task.validation, slice(0, 8)))
    with torch.no_grad():
        expected = both_network()(*inputs)[0]
    torch.testing.assert_close(load_teacher(out).answer(inputs).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["onnx", "folder", "weights"])
def test_a_given_teacher_that_knows_nothing_of_the_data_is_the_users_fault(
    quadrants: Task, onnx_of: PathOf, folder_of: PathOf, env_of: EnvOf, out: Path, *, form: str
) -> None:
    """Every class is called by the next one's name: refused with exit code 2, and why that usually is.

    Epochs do not count for what is given: it is not trained.
    """
    folder = folder_of("quadrants", turn=1)
    settings = {
        "onnx": lambda: given(onnx_of("quadrants", turn=1)),
        "folder": lambda: given(folder, epochs=3),
        "weights": lambda: loaded(folder, epochs=0),
    }[form]()

    with pytest.raises(ConfigError, match=r"right on 0.0% of the validation data.*data.labels") as error:
        run(settings, {}, out, env_of(quadrants))

    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def loaded(folder: Path, *, epochs: int) -> Teach:
    """Return the settings of a network with the weights in *folder*."""
    fields = {"factory": "user_networks:quadrants", "weights": str(folder / WEIGHTS), "epochs": epochs}
    return convert(fields | {"batch_size": 16, "lr": 0.01}, Teach, where="recipe")


def test_weights_without_epochs_are_taken_as_they_are(
    quadrants: Task, folder_of: PathOf, env_of: EnvOf, out: Path
) -> None:
    """Bit for bit, and the factory's own start is gone."""
    folder = folder_of("quadrants")
    settings = loaded(folder, epochs=0)

    record = run(settings, {}, out, env_of(quadrants))
    ensures(settings, {}, out, env_of(quadrants))

    assert record["validation_accuracy"] == 1.0
    assert (out / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_weights_with_epochs_are_where_training_starts(
    quadrants: Task, folder_of: PathOf, env_of: EnvOf, out: Path
) -> None:
    """They move, and a start that knows nothing may be trained into something: it is not refused."""
    folder = folder_of("quadrants", turn=1)

    record = run(loaded(folder, epochs=1), {}, out, env_of(quadrants))

    assert (out / WEIGHTS).read_bytes() != (folder / WEIGHTS).read_bytes()
    assert 0.0 <= record["validation_accuracy"] <= 1.0


def test_a_trained_teacher_that_learned_nothing_breaks_its_promise(
    quadrants: Task, folder_of: PathOf, env_of: EnvOf
) -> None:
    """That is a stage's failure, exit code 3, with what to change."""
    folder = folder_of("quadrants", turn=1)

    with pytest.raises(StageError, match=r"raise teach\.epochs or change teach\.lr"):
        ensures(loaded(folder, epochs=1), {}, folder, env_of(quadrants))


@pytest.mark.parametrize(
    ("shape", "classes", "words"),
    [
        ((1, 8, 8), 7, r"answers with shape \(7,\); the task 'images' wants \(4,\)"),
        ((64,), 4, r"takes float of shape \(batch, 64\); the data gives float32"),
        ((4, 4, 4), 4, r"takes float of shape \(batch, 4, 4, 4\)"),
    ],
)
def test_an_onnx_teacher_for_other_data_is_refused(  # noqa: PLR0913 - fixtures
    quadrants: Task, onnx_of: PathOf, env_of: EnvOf, *, shape: tuple[int, ...], classes: int, words: str, out: Path
) -> None:
    """Another number of classes, or another input: the file, what it has and what is wanted."""
    file = onnx_of("linear", shape=shape, classes=classes)
    with pytest.raises(ConfigError, match=rf"teach.given: {file}: .*{words}"):
        run(given(file), {}, out, env_of(quadrants))
    assert not list(out.iterdir())


def test_an_onnx_teacher_that_fails_in_its_run_is_named(
    quadrants: Task, env_of: EnvOf, out: Path, tmp_path: Path
) -> None:
    """A Reshape to a size that does not fit shows only when it runs: one sentence all the same."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["image", "shape"], ["logits"], name="the_reshape")],
        "wrong",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])],
        [onnx.numpy_helper.from_array(np.array([7, 11]), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "wrong.onnx")

    with pytest.raises(ConfigError, match=r"teach.given: .*wrong.onnx: ") as error:
        run(given(tmp_path / "wrong.onnx"), {}, out, env_of(quadrants))
    assert "\n" not in str(error.value)
