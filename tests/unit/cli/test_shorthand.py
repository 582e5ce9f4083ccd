"""What the options with a word of their own become in the recipe."""

from pathlib import Path
from typing import Any

import pytest

from edgekd.cli.shorthand import Shorthand, with_shorthand
from edgekd.core.errors import ConfigError

Tables = dict[str, Any]


def tables_of(recipe: Tables | None = None, *assignments: str, **given: Any) -> Tables:  # noqa: ANN401 - any option
    """Return the tables that a recipe, options and ``--set`` assignments make."""
    return with_shorthand(recipe or {}, Shorthand(**given), assignments)


def refused(recipe: Tables | None = None, **given: Any) -> str:  # noqa: ANN401 - any option
    """Return the sentence in which such options end."""
    with pytest.raises(ConfigError) as error:
        tables_of(recipe, **given)
    return str(error.value)


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """Return a folder that looks as if a network were saved there."""
    (tmp_path / "network.json").write_text("{}")
    return str(tmp_path)


def test_no_option_changes_nothing() -> None:
    """The recipe comes back as it was."""
    recipe = {"target": "jetson-nano", "prune": {"ratio": 0.5}}
    assert tables_of(recipe) == recipe


def test_a_model_alone_is_taught_and_compressed_itself() -> None:
    """Without a teacher the network goes to ``teach`` and ``distill`` is left out."""
    found = tables_of(model="net.py:net", model_args=["width=0.5", "name=wide"], weights=Path("w.pt"))
    assert found == {
        "teach": {"factory": "net.py:net", "arguments": {"width": 0.5, "name": "wide"}, "weights": "w.pt"},
        "distill": {"factory": ""},
    }


@pytest.mark.parametrize("recipe", [{}, {"teach": {"given": ["t.onnx"]}}, {"teach": {"factory": "resnet56"}}])
def test_a_model_with_a_teacher_is_the_student(recipe: Tables) -> None:
    """Whoever names the teacher, option or recipe, the model is what is distilled."""
    given = {} if recipe else {"teachers": ["t.onnx"]}
    found = tables_of(recipe, model="resnet8", **given)
    assert found["distill"] == {"factory": "resnet8"}
    assert found["teach"] == (recipe.get("teach") or {"given": ["t.onnx"]})


def test_a_model_with_a_teacher_by_set_is_the_student() -> None:
    """``--set teach.given`` names a teacher as ``--teacher`` does."""
    found = tables_of({}, "teach.given=t.onnx", model="resnet8")
    assert found == {"teach": {"given": "t.onnx"}, "distill": {"factory": "resnet8"}}


def test_trained_teachers_are_given_and_a_named_one_is_built(saved: str) -> None:
    """ONNX files and saved folders may be several; a name takes arguments and weights."""
    assert tables_of(teachers=["t.onnx", saved])["teach"] == {"given": ["t.onnx", saved]}
    built = tables_of(teachers=["resnet56"], teacher_args=["width=2"], teacher_weights=Path("w.pt"))["teach"]
    assert built == {"factory": "resnet56", "arguments": {"width": 2}, "weights": "w.pt"}


def test_another_network_takes_nothing_from_the_recipe_s_one() -> None:
    """Arguments, weights and digests of a network that is replaced would be those of the wrong one."""
    recipe = {
        "distill": {
            "factory": "dscnn",
            "factory_sha256": "1",
            "arguments": {"depth": 3},
            "weights": "old.pt",
            "weights_sha256": "2",
            "epochs": 7,
        },
        "teach": {"given": ["old.onnx"], "given_sha256": ["3"], "epochs": 5},
    }
    assert tables_of(recipe, model="resnet8")["distill"] == {"factory": "resnet8", "epochs": 7}
    assert tables_of(recipe, teachers=["new.onnx"])["teach"] == {"given": ["new.onnx"], "epochs": 5}
    assert tables_of(recipe, teachers=["resnet20"])["teach"] == {"factory": "resnet20", "epochs": 5}
    kept = tables_of(recipe, model="dscnn", model_args=["width=8"])["distill"]
    assert kept["arguments"] == {"depth": 3, "width": 8}
    assert kept["weights"] == "old.pt"
    assert "weights_sha256" not in tables_of(recipe, model="dscnn", weights=Path("new.pt"))["distill"]


def test_the_recipe_itself_is_not_changed() -> None:
    """Its inner tables, too, stay as they were."""
    recipe: Tables = {"teach": {"factory": "resnet", "arguments": {"width": 8}}}
    tables_of(recipe, "teach.arguments.width=16", teachers=["resnet"], teacher_args=["depth=2"])
    assert recipe == {"teach": {"factory": "resnet", "arguments": {"width": 8}}}


def test_data_and_unreadable_images_go_to_the_data_table() -> None:
    """Beside what the recipe says of them; ``--set`` wins over both."""
    found = tables_of({"data": {"size": [8, 8]}}, "data.size=[9, 9]", data="folder:x", skip_unreadable=True)
    assert found["data"] == {"source": "folder:x", "skip_unreadable": True, "size": [9, 9]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model_args": ["width=1"]}, ["--model-arg", "not given"]),
        ({"weights": Path("w.pt")}, ["--weights", "not given"]),
        ({"teacher_args": ["width=1"]}, ["--teacher-arg", "none was given"]),
        ({"teacher_weights": Path("w.pt")}, ["--teacher-weights", "none was given"]),
        ({"teachers": ["t.onnx"], "teacher_args": ["width=1"]}, ["--teacher-arg", "name"]),
        ({"teachers": ["t.onnx"], "teacher_weights": Path("w.pt")}, ["--teacher-weights"]),
        ({"teachers": ["t.onnx", "resnet8"]}, ["--teacher resnet8", "network.json", "trained"]),
        ({"teachers": ["resnet8", "resnet20"]}, ["--teacher resnet8", "trained"]),
        ({"model": "m", "model_args": ["width"]}, ["width", "name=value"]),
        ({"model": "m", "model_args": ["=1"]}, ["=1", "name=value"]),
        ({"model": "m", "model_args": ["my width=1"]}, ["my width=1", "name=value"]),
    ],
)
def test_options_without_what_they_belong_to_are_refused(given: dict[str, Any], words: list[str]) -> None:
    """One sentence that names the option and what is missing."""
    message = refused(**given)
    assert all(word in message for word in words), message
