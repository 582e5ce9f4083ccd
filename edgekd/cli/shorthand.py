"""Options that say in a word what a recipe says in tables: whose network, whose teacher, which data."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import msgspec

from edgekd.core.errors import ConfigError
from edgekd.networks.layout import STRUCTURE
from edgekd.plan import Tables, assign, parse_value
from edgekd.stages.settings import ONNX_SUFFIX

_OF_WEIGHTS: Final = ("weights", "weights_sha256")
_OF_FACTORY: Final = ("factory_sha256", "arguments", *_OF_WEIGHTS)
_OF_GIVEN: Final = ("given", "given_sha256")
"""What a recipe says of one network and not of the next."""


class Shorthand(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were given."""

    model: str | None = None
    model_args: Sequence[str] = ()
    weights: Path | None = None
    teachers: Sequence[str] = ()
    teacher_args: Sequence[str] = ()
    teacher_weights: Path | None = None
    data: str | None = None
    skip_unreadable: bool = False


def with_shorthand(recipe: Tables, given: Shorthand, assignments: Sequence[str]) -> Tables:
    """Return *recipe* with the shorthand over it, and ``--set`` *assignments* over both.

    ``--model`` is the network that ships. Without a teacher, from whichever of the three, it is the teacher as well:
    the stage ``teach`` loads or trains it, and ``distill`` is left out. What a recipe says of one network (arguments,
    weights, digests) goes when another one takes its place.
    """
    tables: Tables = deepcopy(recipe)
    if given.data is not None:
        _table(tables, "data")["source"] = given.data
    if given.skip_unreadable:
        _table(tables, "data")["skip_unreadable"] = True
    _put_teacher(tables, given)
    _put_model(tables, given, stage="distill" if _has_teacher(tables, assignments) else "teach")
    for assignment in assignments:
        assign(tables, assignment)
    return tables


def _has_teacher(tables: Tables, assignments: Sequence[str]) -> bool:
    """Tell whether *tables*, or *assignments* over them, name a teacher."""
    after = deepcopy(tables)
    for assignment in assignments:
        assign(after, assignment)
    teach = after.get("teach", {})
    return bool(teach.get("given") or teach.get("factory"))


def _put_teacher(tables: Tables, given: Shorthand) -> None:
    """Write ``--teacher`` and what belongs to it into *tables*, in place."""
    saved = [name for name in given.teachers if name.endswith(ONNX_SUFFIX) or (Path(name) / STRUCTURE).is_file()]
    if len(saved) not in {0, len(given.teachers)} or (not saved and len(given.teachers) > 1):
        named = next(name for name in given.teachers if name not in saved)
        message = (
            f"--teacher {named}: neither an ONNX file nor a folder with {STRUCTURE}; "
            "several teachers have to be trained ones, each given as one of these."
        )
        raise ConfigError(message)
    if (given.teacher_args or given.teacher_weights) and (saved or not given.teachers):
        message = "--teacher-arg and --teacher-weights: belong to a --teacher that is a network's name; none was given."
        raise ConfigError(message)
    if not given.teachers:
        return
    teach = _table(tables, "teach")
    _forget(teach, ("factory", *_OF_FACTORY, *_OF_GIVEN) if saved else _OF_GIVEN)
    if saved:
        teach["given"] = saved
    else:
        _name_network(teach, given.teachers[0], given.teacher_args, given.teacher_weights)


def _put_model(tables: Tables, given: Shorthand, *, stage: str) -> None:
    """Write ``--model`` and what belongs to it into *tables*, in place."""
    if given.model is None:
        if given.model_args or given.weights:
            message = "--model-arg and --weights: belong to --model, which was not given."
            raise ConfigError(message)
        return
    _name_network(_table(tables, stage), given.model, given.model_args, given.weights)
    if stage == "teach":
        _table(tables, "distill")["factory"] = ""


def _name_network(table: Tables, factory: str, arguments: Sequence[str], weights: Path | None) -> None:
    """Write a network's name, its arguments and its weights into *table*, in place."""
    if table.get("factory", factory) != factory:
        _forget(table, _OF_FACTORY)
    table["factory"] = factory
    if arguments:
        table["arguments"] = dict(table.get("arguments", {})) | dict(_argument(text) for text in arguments)
    if weights is not None:
        _forget(table, _OF_WEIGHTS)
        table["weights"] = str(weights)


def _forget(table: Tables, names: Sequence[str]) -> None:
    """Remove *names* from *table*, in place, where they are in it."""
    for name in names:
        table.pop(name, None)


def _argument(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``name=value``."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        message = f"{text}: expected name=value, for instance width=0.5."
        raise ConfigError(message)
    return name.strip(), parse_value(value.strip())


def _table(tables: Tables, name: str) -> Tables:
    """Return the table *name* of *tables*, made where there is none."""
    table: Tables = tables.setdefault(name, {})
    return table
