"""Networks that do not fit the task are refused before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert
from edgekd.stages.fitness import check_networks
from edgekd.stages.origin import network_of
from edgekd.stages.settings import Distill, Teach
from edgekd.tasks.task import Task

FolderOf = Callable[..., Path]
LINEAR = "user_networks:linear"
FITTING = MappingProxyType({"classes": 4})


def distill(**fields: object) -> Distill:
    """Return the settings of a student that fits, with *fields* over them."""
    return convert({"factory": LINEAR, "arguments": dict(FITTING)} | fields, Distill, where="recipe")


@pytest.mark.parametrize(
    ("factory", "arguments", "words"),
    [
        ("edgekd.networks.resnet:resnet", {"classes": 7}, r"answers with shape \(7,\).*wants \(4,\)"),
        ("edgekd.networks.resnet:resnet", {"channels": 3}, "cannot take the task's input"),
        ("user_networks:Pair", {}, r"answers with shape \(1, 8, 8\)"),
        ("user_networks:Two", {}, r"gives 2 outputs; the task 'images' names 1"),
        ("user_networks:Broken", {}, "KeyError"),
        ("user_networks:raising", {}, "KeyError"),
        ("user_networks:absent", {}, "absent"),
        ("user_networks:frozen", {}, "has no parameter that can be trained"),
    ],
)
def test_an_unfit_network_is_named(quadrants: Task, factory: str, arguments: dict[str, int], words: str) -> None:
    """Wrong classes, channels or outputs, or an error of its own: one sentence, for teacher and student."""
    for settings in (
        Teach(factory=factory, arguments=MappingProxyType(arguments)),
        Distill(factory=factory, arguments=MappingProxyType(arguments)),
    ):
        with pytest.raises(ConfigError, match=words) as error:
            check_networks([settings], quadrants)
        assert "\n" not in str(error.value)


def test_edgekds_own_networks_get_classes_and_channels_from_the_data(quadrants: Task) -> None:
    """Nobody has to say them again."""
    check_networks([Teach(), Distill()], quadrants)


def test_a_vision_transformer_gets_the_size_of_the_images(quadrants: Task) -> None:
    """Its own default is 224 pixels; the data has 8, and what the recipe says comes first."""
    shape = {"patch": 4, "dim": 12, "depth": 1, "heads": 3}
    settings = Distill(factory="edgekd.networks.vit:vit", arguments=MappingProxyType(shape))
    larger = Distill(factory="edgekd.networks.vit:vit", arguments=MappingProxyType(shape | {"image_size": 16}))

    assert network_of(settings, quadrants).arguments == shape | {"classes": 4, "channels": 1, "image_size": 8}
    assert network_of(larger, quadrants).arguments["image_size"] == 16
    check_networks([settings], quadrants)


def test_a_fit_network_and_a_black_box_pass(quadrants: Task, onnx_of: FolderOf) -> None:
    """One logit for each class is all that is asked, of an ONNX file as well; its factory is not looked at."""
    check_networks([Teach(given=(str(onnx_of("quadrants")),), factory="no:where"), distill()], quadrants)


def test_a_black_box_of_other_classes_is_named_before_training(quadrants: Task, onnx_of: FolderOf) -> None:
    """It is read and run once, with every other check."""
    file = onnx_of("linear", classes=3)
    with pytest.raises(ConfigError, match=rf"teach.given: {file}: answers with shape \(3,\)"):
        check_networks([Teach(given=(str(file),)), distill()], quadrants)


def test_a_given_folder_is_looked_at(quadrants: Task, folder_of: FolderOf) -> None:
    """The settings' own factory is not: it is not used."""
    check_networks([Teach(given=(str(folder_of("quadrants")),), factory="no:where")], quadrants)
    folder = folder_of("linear", classes=3)
    with pytest.raises(ConfigError, match=rf"teach.given: {folder}: answers with shape \(3,\)"):
        check_networks([Teach(given=(str(folder),))], quadrants)


@pytest.mark.parametrize(
    ("student", "teacher", "words"), [("0", "9", "tap '9'"), ("9", "0", "tap '9'"), ("0", "x.y", "tap 'x.y'")]
)
def test_a_wrong_tap_is_named_before_training(
    quadrants: Task, folder_of: FolderOf, student: str, teacher: str, words: str
) -> None:
    """In the student and in the teacher, where that is a network."""
    taps = {"feature_weight": 1.0, "student_features": [student], "teacher_features": [teacher]}
    with pytest.raises(ConfigError, match=words):
        check_networks([Teach(given=(str(folder_of("quadrants")),)), distill(**taps)], quadrants)


def test_taps_without_a_weight_are_not_looked_for(quadrants: Task) -> None:
    """They wait for their weight."""
    check_networks([Teach(), distill(student_features=["no"], teacher_features=["where"])], quadrants)
