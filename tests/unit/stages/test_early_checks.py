"""What is found before anything is trained: operators that cannot be quantized, and taps of every stage."""

from pathlib import Path

import pytest

from edgekd.core.errors import ConfigError
from edgekd.stages.fitness import check_networks
from edgekd.stages.settings import Prune, Quantize, Teach
from edgekd.tasks.digits import load_digits

NETWORK = """
from torch import nn

def smooth(classes, activation):
    return nn.Sequential(nn.Conv2d(1, 4, 3), getattr(nn, activation)(), nn.Flatten(), nn.Linear(4 * 26 * 26, classes))
"""


@pytest.fixture
def factory(tmp_path: Path) -> str:
    """Give a user's network whose activation is an argument."""
    (tmp_path / "net.py").write_text(NETWORK)
    return f"{tmp_path}/net.py:smooth"


def test_an_operator_that_cannot_be_quantized_is_named_before_training(factory: str) -> None:
    """Hardshrink is written with comparisons, which cannot be simulated; with ReLU the same network passes."""
    quantize = Quantize(epochs=1, lr=0.1)
    for activation in ("ReLU", "Hardshrink"):
        teach = Teach(factory=factory, arguments={"classes": 10, "activation": activation})
        check_networks([teach], load_digits())
        if activation == "ReLU":
            check_networks([teach, quantize], load_digits())
            continue
        with pytest.raises(
            ConfigError, match=r"quantize: node '.*' \(\w+\): an operator that cannot be simulated"
        ) as no:
            check_networks([teach, quantize], load_digits())
        assert str(no.value).endswith("FP32 or FP16: --set export.precision=fp32 or fp16.")


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_a_wrong_tap_of_a_recovery_stage_is_named_with_its_stage(factory: str, side: str) -> None:
    """The message begins with the stage and the side of the pair."""
    teach = Teach(factory=factory, arguments={"classes": 10, "activation": "ReLU"})
    mine, theirs = ("7", "1") if side == "student" else ("1", "7")
    prune = Prune(
        epochs=1, lr=0.1, multiple=4, feature_weight=1.0, student_features=(mine,), teacher_features=(theirs,)
    )

    with pytest.raises(ConfigError, match=rf"prune\.{side}: tap '7': Sequential has no such module"):
        check_networks([teach, prune], load_digits())
