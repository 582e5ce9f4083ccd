"""Training settings: what is refused before anything runs."""

import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert
from edgekd.train.training import Augmentation, Training


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("lr", 0, "more than 0"),
        ("epochs", 0, "at least 1"),
        ("momentum", 1.0, "less than 1"),
        ("weight_decay", -1e-4, "at least 0"),
        ("warmup", 1.5, "at most 1"),
        ("schedule", "cosin", "did you mean 'cosine'"),
        ("optimizer", "adamm", "did you mean 'adam'"),
        ("average_from", 1.0, "less than 1"),
        ("ema_decay", 1.0, "less than 1"),
        ("accumulate", 0, "at least 1"),
        ("mixup", -0.1, "at least 0"),
        ("crop", -1, "at least 0"),
        ("gamma", 0.0, "more than 0"),
    ],
)
def test_a_value_out_of_range_is_named(field: str, value: float | str, expected: str) -> None:
    """The message holds the field, what came and what was expected."""
    with pytest.raises(ConfigError, match=rf"recipe.toml: {field}: .*{expected}"):
        convert({"epochs": 1, "lr": 0.1, field: value}, Training, where="recipe.toml")


def test_nesterov_needs_momentum() -> None:
    """There is no such optimizer; the message says which field to change."""
    with pytest.raises(ConfigError, match=r"recipe.toml: nesterov = true needs momentum above 0; got momentum = 0"):
        convert({"epochs": 1, "lr": 0.1, "momentum": 0}, Training, where="recipe.toml")


def test_other_optimizers_have_no_nesterov_to_ask_momentum_for() -> None:
    """Its default may stay."""
    assert Training(epochs=1, lr=0.1, optimizer="adam", momentum=0.0).momentum == 0


def test_parts_must_divide_the_batch() -> None:
    """10 in 4 parts; the message holds both numbers."""
    with pytest.raises(ConfigError, match=r"batch_size = 10 cannot be cut into accumulate = 4 equal parts"):
        convert({"epochs": 1, "lr": 0.1, "batch_size": 10, "accumulate": 4}, Training, where="recipe.toml")


def test_the_augmentation_is_only_how_samples_look() -> None:
    """Two trainings that differ in everything else have the same one, and so the same cached teacher."""
    first = Training(epochs=1, lr=0.1, crop=4, mixup=0.2)
    second = Training(epochs=9, lr=0.7, crop=4, mixup=0.2, batch_size=64, optimizer="adam")

    assert first.augmentation == second.augmentation == Augmentation(crop=4, mixup=0.2)
