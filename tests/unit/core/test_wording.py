"""Words for values and types."""

from datetime import date
from typing import Annotated, Literal

import pytest
from msgspec import Meta, inspect

from edgekd.core.wording import expectation, shown


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (Annotated[int, Meta(ge=1, le=64)], "an integer at least 1 and at most 64"),
        (Annotated[float, Meta(gt=0, lt=1)], "a number more than 0 and less than 1"),
        (bool, "true or false"),
        (str, "a string"),
        (Annotated[str, Meta(min_length=1)], "a string that is not empty"),
        (Annotated[str, Meta(pattern="^a")], "a string that matches ^a"),
        (Literal["a", "b"], "one of 'a', 'b'"),
        (tuple[int, ...], "a list, each an integer"),
        (Annotated[tuple[str, ...], Meta(min_length=1)], "a list of at least one: a string"),
        (tuple[int, int], "a list of exactly 2"),
        (int | None, "an integer"),
        (int | str, "an integer or a string"),
        (date, "a date such as 2026-01-31"),
        (bytes, "bytes"),
    ],
)
def test_a_type_is_said_in_words(type_: type, words: str) -> None:
    """Each type, with its range, reads as the end of "expected ..."."""
    assert expectation(inspect.type_info(type_)) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), ({"a": 1}, "a table"), ([1, 2], "a list of 2"), ("x" * 99, f"'{'x' * 59}..."), (2, "2")],
)
def test_a_value_is_shown_short(value: object, text: str) -> None:
    """Tables and lists are named, long text is cut."""
    assert shown(value) == text
