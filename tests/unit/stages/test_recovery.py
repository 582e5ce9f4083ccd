"""Training with a teacher: who it is, what is kept of it, and that a run that finds it there ends with equal bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import onnx
import pytest
import torch
from samples import STILL
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert
from edgekd.networks.layout import GRAPH, STRUCTURE, WEIGHTS
from edgekd.networks.network import load_network
from edgekd.stages import distill, prune
from edgekd.stages.recovery import recover
from edgekd.stages.settings import Distill, Prune, Recovery, Teach
from edgekd.stages.stage import Env, Inputs
from edgekd.stages.teach import run as teach
from edgekd.tasks.task import Task

EnvOf = Callable[..., Env]
PathOf = Callable[..., Path]


def recovery(**fields: object) -> Recovery:
    """Return the settings of two epochs of six batches."""
    return convert({"epochs": 2, "lr": 0.05, "batch_size": 16} | fields, Recovery, where="recipe")


def equal(first: nn.Module, second: nn.Module) -> bool:
    """Tell whether all tensors are equal, bit for bit."""
    other = second.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in first.state_dict().items())


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_the_second_run_finds_every_logit_and_ends_with_equal_bits(
    quadrants: Task, folder_of: PathOf, env_of: EnvOf, mixup: float
) -> None:
    """192 rows are computed, then reused, whatever the student's rate; with equal settings so are its weights."""
    teacher, start = folder_of("quadrants"), folder_of("convolved")
    log: list[str] = []
    trained = []
    for lr in (0.05, 0.05, 0.02):
        module = load_network(start)[1]
        recover("prune", module, teacher, recovery(lr=lr, mixup=mixup), env_of(quadrants, log))
        trained.append(module)

    said = [line for line in log if "teacher's logits" in line]
    assert said == [
        "prune: teacher's logits: 192 computed, 0 reused",
        "prune: teacher's logits: 0 computed, 192 reused",
        "prune: teacher's logits: 0 computed, 192 reused",
    ]
    assert equal(trained[0], trained[1])
    assert not equal(trained[0], trained[2])


def test_without_the_cache_the_teacher_is_asked_in_every_step(
    quadrants: Task, folder_of: PathOf, env_of: EnvOf
) -> None:
    """Nothing is written; the student ends near the one that learned from rounded logits."""
    teacher, start, env = folder_of("quadrants"), folder_of("convolved"), env_of(quadrants)
    live, kept = (load_network(start)[1] for _ in range(2))

    recover("distill", live, teacher, recovery(cache_teacher=False), env)
    assert not (env.cache / "logits").exists()
    recover("distill", kept, teacher, recovery(), env_of(quadrants))

    assert (env.cache / "logits").is_dir()
    for mine, theirs in zip(live.parameters(), kept.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0.05, atol=0.02)


def test_features_are_compared_live_and_the_adapters_stay_behind(
    quadrants: Task, folder_of: PathOf, env_of: EnvOf
) -> None:
    """The student has the tensors that it had; no logit is kept, since the teacher runs anyway."""
    module, env = load_network(folder_of("convolved"))[1], env_of(quadrants)
    names = set(module.state_dict())
    guided = recovery(feature_weight=1.0, student_features=["2"], teacher_features=["2"], attention_weight=10.0)

    recover("prune", module, folder_of("convolved", width=12), guided, env)

    assert set(module.state_dict()) == names
    assert not (env.cache / "logits").exists()


def test_a_student_learns_from_a_black_box_on_its_values(
    quadrants: Task, onnx_of: PathOf, env_of: EnvOf, out: Path
) -> None:
    """The ONNX file's logits, and what its pooling gives, by name; the student knows the task after."""
    teach(convert({"given": [str(onnx_of("quadrants"))]}, Teach, where="recipe"), {}, out, env_of(quadrants))
    pooled = next(n.output[0] for n in onnx.load(out / GRAPH).graph.node if n.op_type == "AveragePool")
    taps = {"feature_weight": 0.01, "student_features": ["4"], "teacher_features": [pooled]}
    fields = {"factory": "user_networks:convolved", "epochs": 12, "batch_size": 16, "lr": 0.02}
    settings = convert(fields | taps | dict(STILL), Distill, where="recipe")
    result = out.parent / "student"
    result.mkdir()

    record = distill.run(settings, {"teacher": out}, result, env_of(quadrants))
    distill.ensures(settings, {"teacher": out}, result, env_of(quadrants))

    assert record["validation_accuracy"] > 0.9


@pytest.mark.parametrize("source", ["uncompressed", "teacher"])
def test_recovery_learns_from_whom_the_recipe_names(
    quadrants: Task, folder_of: PathOf, env_of: EnvOf, out: Path, source: Literal["uncompressed", "teacher"]
) -> None:
    """The other one need not even be there."""
    folder = folder_of("convolved")
    fields = {"ratio": 0.25, "multiple": 2, "epochs": 1, "lr": 0.01, "batch_size": 16, "source": source}
    settings = convert(fields, Prune, where="recipe")

    inputs: Inputs = {"student": folder, source: folder_of("quadrants")}

    record = prune.run(settings, inputs, out, env_of(quadrants))

    assert settings.takes == ("student", source)
    assert record["removed_ratio"] == pytest.approx(0.25)
    assert {STRUCTURE, WEIGHTS} < {path.name for path in out.iterdir()}


def test_a_wrong_tap_of_a_recovery_is_one_sentence(quadrants: Task, folder_of: PathOf, env_of: EnvOf) -> None:
    """In the student or in the teacher; the student is as it was."""
    folder = folder_of("convolved")
    for mine, theirs in (("no", "2"), ("2", "no")):
        module = load_network(folder)[1]
        settings = recovery(attention_weight=1.0, student_features=[mine], teacher_features=[theirs])
        with pytest.raises(ConfigError, match="tap 'no'"):
            recover("prune", module, folder, settings, env_of(quadrants))
        assert equal(module, load_network(folder)[1])
