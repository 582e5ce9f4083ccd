"""Training settings: what is refused before anything runs."""

import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert
from edgekd.train.training import Training


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("lr", 0, "more than 0"),
        ("epochs", 0, "at least 1"),
        ("momentum", 1.0, "less than 1"),
        ("weight_decay", -1e-4, "at least 0"),
        ("warmup", 1.5, "at most 1"),
        ("schedule", "cosin", "did you mean 'cosine'"),
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
