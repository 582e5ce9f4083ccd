"""The rule that every fact in a target file has exactly one source."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from edgekd.core.errors import ConfigError
from edgekd.core.strict import suggestion
from edgekd.targets.facts import Source

_NOT_FACTS: Final = frozenset({"name", "title", "sources"})


def require_sources(tables: Mapping[str, Any], sources: Sequence[Source], *, where: str) -> None:
    """Raise ConfigError unless each value in *tables* is covered by exactly one of *sources*.

    *tables* is the target file as read; its name and title need no source. A source covers a fact by its
    dotted name or by the name of a table around it. A source for a fact that is not there is refused too.
    """
    facts = tuple(_leaves({key: value for key, value in tables.items() if key not in _NOT_FACTS}))
    known = tuple(dict.fromkeys(name for fact in facts for name in _prefixes(fact)))
    for number, source in enumerate(sources):
        for name in source.facts:
            if name not in known:
                message = (
                    f"{where}: sources[{number}].facts: {name!r} is no fact of this file; {suggestion(name, known)}"
                )
                raise ConfigError(message)
    for fact in facts:
        names = set(_prefixes(fact))
        covering = [number for number, source in enumerate(sources) if names & set(source.facts)]
        if len(covering) != 1:
            message = f"{where}: {fact}: {_complaint(covering)}"
            raise ConfigError(message)


def _complaint(covering: Sequence[int]) -> str:
    """Return what is wrong with none or several sources of one fact."""
    if not covering:
        return "has no source; add a [[sources]] entry that names it, or its table, under facts."
    several = " and ".join(f"sources[{number}]" for number in covering)
    return f"has more than one source ({several}); keep it in one of them."


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every value under *table*."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _prefixes(fact: str) -> tuple[str, ...]:
    """Return the names of the tables around *fact*, outermost first, and its own."""
    parts = fact.split(".")
    return tuple(".".join(parts[: length + 1]) for length in range(len(parts)))
