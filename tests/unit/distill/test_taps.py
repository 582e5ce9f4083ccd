"""Taps and the feature matcher."""

import pytest
import torch
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.distill.taps import FeatureMatcher, channels_at, tap


def network() -> nn.Sequential:
    """Return a network with a stem of four channels and a classifier."""
    stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    layers = {"stem": stem, "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(4, 2)}
    module = nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return module


def identity(channels: int) -> FeatureMatcher:
    """Return a matcher whose adapter gives what it takes."""
    matcher = FeatureMatcher(channels, channels)
    with torch.no_grad():
        matcher.adapter.weight.copy_(torch.eye(channels).reshape(channels, channels, 1, 1))
    return matcher


def test_a_tap_holds_the_output_of_the_last_pass() -> None:
    """One tensor, with its graph, replaced by every pass."""
    module = network()
    with tap(module, "stem.0") as seen:
        for value in (0.0, 1.0):
            images = torch.full((1, 1, 3, 3), value)
            module(images)

    assert len(seen) == 1
    assert torch.equal(seen[0], module.get_submodule("stem.0")(torch.ones(1, 1, 3, 3)))
    assert seen[0].requires_grad


def test_a_tap_is_gone_after_its_block() -> None:
    """Also after an error: later passes leave no trace, and the user's class is as it was."""
    module = network()
    with pytest.raises(KeyError), tap(module, "stem") as seen:
        raise KeyError

    module(torch.ones(1, 1, 3, 3))

    assert seen == []


@pytest.mark.parametrize(
    ("path", "hint"),
    [("stemm", "did you mean 'stem'"), ("haed", "did you mean 'head'"), ("xyz", "expected one of 'stem', 'stem.0', ")],
)
def test_an_unknown_path_gives_the_nearest_name(path: str, hint: str) -> None:
    """Or, where none is near, all of them."""
    with (
        pytest.raises(ConfigError, match=f"feature path '{path}': Sequential has no such module; {hint}"),
        tap(network(), path),
    ):
        pass


def test_channels_are_those_of_the_feature_map() -> None:
    """Four, whatever the batch and the size of the image."""
    assert channels_at(network(), "stem", torch.zeros(2, 1, 5, 7)) == 4


def test_an_output_that_is_no_feature_map_is_refused() -> None:
    """Logits have no height and width to compare."""
    with pytest.raises(ConfigError, match=r"feature path 'head': gives \(2, 2\); expected \(batch, channels, height"):
        channels_at(network(), "head", torch.zeros(2, 1, 5, 5))


def test_a_module_that_the_network_does_not_use_is_refused() -> None:
    """It gives nothing."""
    module = network()
    module.get_submodule("flat").add_module("spare", nn.Conv2d(4, 4, 1))

    with pytest.raises(ConfigError, match=r"feature path 'flat\.spare': gives nothing"):
        channels_at(module, "flat.spare", torch.zeros(2, 1, 5, 5))


@pytest.mark.parametrize("larger", ["student", "teacher"])
def test_the_larger_map_is_pooled_to_the_smaller(larger: str) -> None:
    """Four pixels 1, 2, 3, 6 have the mean 3; against one pixel of 5 the squared difference is 4."""
    four, one = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), torch.tensor([[[[5.0]]]])
    student, teacher = (four, one) if larger == "student" else (one, four)

    assert identity(1)(student, teacher).item() == 4


def test_equal_maps_through_an_identity_cost_nothing() -> None:
    """No pooling where the sizes agree."""
    features = torch.rand(2, 3, 4, 5)

    assert identity(3)(features, features).item() == 0


def test_the_adapter_learns_to_bridge_two_widths() -> None:
    """A teacher whose channels are mixtures of the student's: the adapter alone finds the mixture."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(8, 2, 3, 3, generator=generator)
    mixture = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, -1.0]])
    teacher = torch.einsum("oc,bchw->bohw", mixture, student)
    matcher = FeatureMatcher(2, 3)
    optimizer = torch.optim.SGD(matcher.parameters(), lr=0.5)

    for _ in range(60):
        optimizer.zero_grad()
        matcher(student, teacher).backward()
        optimizer.step()

    torch.testing.assert_close(matcher.adapter.weight.detach().flatten(1), mixture, atol=1e-3, rtol=0)


def test_the_student_feels_the_loss_and_a_frozen_teacher_does_not() -> None:
    """Gradients reach the student's features and the adapter."""
    student, teacher = torch.rand(1, 2, 4, 4, requires_grad=True), torch.rand(1, 3, 2, 2)
    matcher = FeatureMatcher(2, 3)

    matcher(student, teacher).backward()

    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert matcher.adapter.weight.grad is not None
