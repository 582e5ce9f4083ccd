"""Words for what came and for what a type takes, for error messages."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import inspect

_SHOWN_CHARACTERS: Final = 60


def shown(value: object) -> str:
    """Return *value* as a person wrote it in TOML, cut where it is long."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def expectation(type_: inspect.Type) -> str:
    """Return what *type_* takes, in words: ``an integer from 1 to 64``."""
    if isinstance(type_, inspect.UnionType):
        members = [member for member in type_.types if not isinstance(member, inspect.NoneType)]
        return " or ".join(expectation(member) for member in members)
    for kind, words in _WORDS.items():
        if isinstance(type_, kind):
            return words(type_)
    return type(type_).__name__.removesuffix("Type").lower()


def _number(name: str) -> Callable[[Any], str]:
    """Return a describer of numbers called *name*, with their range."""

    def describe(type_: inspect.IntType | inspect.FloatType) -> str:
        limits = [(words, getattr(type_, bound)) for words, bound in _BOUNDS]
        said = [f"{words} {limit:g}" for words, limit in limits if limit is not None]
        return " ".join([name, " and ".join(said)]).strip()

    return describe


def _string(type_: inspect.StrType) -> str:
    """Return what a string must be."""
    if type_.pattern is not None:
        return f"a string that matches {type_.pattern}"
    return "a string that is not empty" if type_.min_length else "a string"


def _literal(type_: inspect.LiteralType) -> str:
    """Return the words that are allowed."""
    return "one of " + ", ".join(map(repr, type_.values))


def _list(type_: inspect.VarTupleType | inspect.ListType) -> str:
    """Return what a list must hold."""
    start = "a list of at least one: " if type_.min_length else "a list, each "
    return start + expectation(type_.item_type)


_BOUNDS: Final = (("at least", "ge"), ("more than", "gt"), ("at most", "le"), ("less than", "lt"))

_WORDS: Mapping[type[inspect.Type], Callable[[Any], str]] = MappingProxyType(
    {
        inspect.IntType: _number("an integer"),
        inspect.FloatType: _number("a number"),
        inspect.BoolType: lambda _: "true or false",
        inspect.StrType: _string,
        inspect.LiteralType: _literal,
        inspect.DateType: lambda _: "a date such as 2026-01-31",
        inspect.VarTupleType: _list,
        inspect.ListType: _list,
        inspect.TupleType: lambda type_: f"a list of exactly {len(type_.item_types)}",
        inspect.StructType: lambda _: "a table",
        inspect.DictType: lambda type_: "a table with at least one entry" if type_.min_length else "a table",
    },
)
