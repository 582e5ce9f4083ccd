"""Networks that do not fit the task are refused before anything is trained."""

import sys
from pathlib import Path
from types import MappingProxyType

import pytest

from edgekd.core.errors import ConfigError
from edgekd.stages.fitness import check_networks
from edgekd.stages.settings import Distill, Teach
from edgekd.tasks.digits import load_digits

MODULE = """
from torch import nn

class Pair(nn.Module):
    def forward(self, images):
        return images, images

class Broken(nn.Module):
    def forward(self, images):
        raise KeyError("lost")

def raising():
    raise KeyError("lost")

def linear(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))
"""


@pytest.fixture(autouse=True)
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module with unfit networks on the path."""
    (tmp_path / "unfit_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "unfit_networks", raising=False)


@pytest.mark.parametrize(
    ("factory", "arguments", "words"),
    [
        ("edgekd.networks.resnet:resnet", {"classes": 7}, r"answers with shape \(7,\).*wants \(10,\)"),
        ("edgekd.networks.resnet:resnet", {"classes": 10, "channels": 3}, "cannot take the task's input"),
        ("unfit_networks:Pair", {}, "answers with tuple"),
        ("unfit_networks:Broken", {}, "KeyError"),
        ("unfit_networks:raising", {}, "KeyError"),
        ("unfit_networks:absent", {}, "absent"),
    ],
)
def test_an_unfit_network_is_named(factory: str, arguments: dict[str, int], words: str) -> None:
    """Wrong classes, wrong channels, no tensor, or an error of its own: one sentence, for teacher and student."""
    for settings in (
        Teach(factory=factory, arguments=MappingProxyType(arguments)),
        Distill(factory=factory, arguments=MappingProxyType(arguments)),
    ):
        with pytest.raises(ConfigError, match=words):
            check_networks([settings], load_digits())


def test_a_fit_network_and_a_given_teacher_pass() -> None:
    """One logit for each class is all that is asked; a given teacher is looked at when it is loaded."""
    check_networks(
        [
            Teach(given="somewhere", factory="no:where"),
            Distill(factory="unfit_networks:linear", arguments={"classes": 10}),
        ],
        load_digits(),
    )
