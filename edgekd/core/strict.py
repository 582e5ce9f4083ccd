"""TOML read into typed structs with errors that name the file, the field and what was expected."""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from edgekd.core.errors import ConfigError
from edgekd.core.wording import expectation, shown

T = TypeVar("T")

_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING_FIELD: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_WHERE: Final = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_STEP: Final = re.compile(r"\[(?P<index>\d+|\.\.\.)\]|\.(?P<name>[^.\[]+)")
_ANY_KEY: Final = "..."

_Path = tuple[str | int, ...]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of the TOML file at *path*; ConfigError where it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = f"{path}: no such file; check the path."
        raise ConfigError(message) from error
    except IsADirectoryError as error:
        message = f"{path}: is a folder; expected a TOML file."
        raise ConfigError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}."
        raise ConfigError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: not a text file in UTF-8 (byte {error.start}); expected TOML."
        raise ConfigError(message) from error
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: not valid TOML: {error}."
        raise ConfigError(message) from error


def convert(data: object, type_: type[T], *, where: str) -> T:
    """Return *data* (tables, lists and numbers from TOML or JSON) as an instance of *type_*.

    *where* names the origin, usually a file, and starts every message. Raises ConfigError with one sentence:
    the dotted path of the first wrong value, what came, what was expected, and for a misspelt name the
    nearest right one. NaN and the infinities, which TOML can write, are refused everywhere.
    """
    for path in _not_finite(data, ()):
        message = f"{where}: {_dotted(path)}{shown(_value_at(data, path))} given; expected a finite number."
        raise ConfigError(message)
    try:
        return msgspec.convert(data, type_)
    except msgspec.ValidationError as error:
        message = f"{where}: {_explain(error, data, type_)}"
        raise ConfigError(message) from error


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the one of *choices* that *name* most looks like, or None when none comes near."""
    matches = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return matches[0] if matches else None


def suggestion(name: str, choices: Iterable[str]) -> str:
    """Return the end of an error about a wrong *name*: ``did you mean 'x'?`` or the list of *choices*."""
    names = tuple(choices)
    near = nearest(name, names)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"expected one of {', '.join(map(repr, names))}." if names else "nothing is expected there."


def _explain(error: msgspec.ValidationError, data: object, type_: type) -> str:
    """Return *error* as a dotted path and a sentence, found by walking *data* and *type_* side by side."""
    match = _WHERE.match(str(error))
    what, key, steps = (match["what"], match["key"], match["path"] or "") if match else (str(error), None, "")
    path = _resolve(steps, data, type_, str(error))
    expected = _type_at(inspect.type_info(type_), data, path)
    if unknown := _UNKNOWN_FIELD.fullmatch(what):
        names = _field_names(expected)
        return f"{_dotted((*path, unknown[1]))}unknown field; {suggestion(unknown[1], names)}"
    if missing := _MISSING_FIELD.fullmatch(what):
        inner = _type_at(expected, {}, (missing[1],))
        return f"{_dotted((*path, missing[1]))}missing; expected {expectation(inner)}."
    if key is not None and isinstance(expected, inspect.DictType):
        return _explain_key(path, _guilty_key(path, data, type_, str(error)), expected)
    if isinstance(error.__cause__, ValueError | TypeError):
        return f"{_dotted(path)}{what}"
    value = _value_at(data, path)
    choices = _choices(expected)
    if isinstance(value, str) and value not in choices and (near := nearest(value, choices)):
        return f"{_dotted(path)}{shown(value)} given; did you mean {near!r}?"
    return f"{_dotted(path)}{shown(value)} given; expected {expectation(expected)}."


def _explain_key(path: _Path, wrong: str, expected: inspect.DictType) -> str:
    """Return why the key *wrong* of a free-form table is none: not one of the listed names, or no name at all."""
    choices = _choices(expected.key_type)
    if choices:
        return f"{_dotted((*path, wrong))}unknown field; {suggestion(wrong, choices)}"
    return f"{_dotted(path)}the name {shown(wrong)} given; expected {expectation(expected.key_type)}."


def _resolve(steps: str, data: object, type_: type, message: str) -> _Path:
    """Return msgspec's path with ``[...]``, its word for "some key", replaced by the key that is at fault."""
    path: _Path = ()
    for step in _STEP.finditer(steps):
        if step["name"] is not None:
            path = (*path, step["name"])
        elif step["index"] != _ANY_KEY:
            path = (*path, int(step["index"]))
        else:
            path = (*path, _guilty_key(path, data, type_, message))
    return path


def _guilty_key(path: _Path, data: object, type_: type, message: str) -> str:
    """Return the key at *path* that alone brings the same *message* about."""
    table = _value_at(data, path)
    for key, value in table.items():
        try:
            msgspec.convert(_replaced(data, path, {key: value}), type_)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return str(next(iter(table)))


def _replaced(data: Any, path: _Path, value: object) -> object:  # noqa: ANN401 - TOML's border
    """Return a copy of *data* with *value* at *path*."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(data, Mapping):
        return {**data, head: _replaced(data[head], rest, value)}
    return [_replaced(inner, rest, value) if index == head else inner for index, inner in enumerate(data)]


def _value_at(data: Any, path: _Path) -> Any:  # noqa: ANN401 - TOML's border
    """Return the value at *path*."""
    for step in path:
        data = data[step]
    return data


def _type_at(type_: inspect.Type, data: Any, path: _Path) -> inspect.Type:  # noqa: ANN401 - TOML's border
    """Return the type that stands at *path*, choosing among a union's members by what *data* is."""
    for step in path:
        type_ = _inner_type(_member(type_, data), step)
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            data = None  # a missing field: only its type is asked for
    return _member(type_, data)


def _inner_type(type_: inspect.Type, step: str | int) -> inspect.Type:
    """Return the type of the field, value or item that *step* leads to."""
    match type_:
        case inspect.StructType(fields=fields):
            return next((field.type for field in fields if field.encode_name == step), inspect.AnyType())
        case inspect.DictType(value_type=value_type):
            return value_type
        case inspect.TupleType(item_types=item_types) if isinstance(step, int):
            return item_types[step]
        case inspect.VarTupleType(item_type=item_type) | inspect.ListType(item_type=item_type):
            return item_type
    return inspect.AnyType()


def _member(type_: inspect.Type, data: object) -> inspect.Type:
    """Return *type_*, or for a union the one member that *data* can be."""
    if isinstance(type_, inspect.Metadata):
        return _member(type_.type, data)
    if not isinstance(type_, inspect.UnionType):
        return type_
    members = [member for member in type_.types if not isinstance(member, inspect.NoneType)]
    if len(members) == 1:
        return _member(members[0], data)
    tables = (inspect.StructType, inspect.DictType)
    fitting = [member for member in members if isinstance(member, tables) == isinstance(data, Mapping)]
    return fitting[0] if len(fitting) == 1 else type_


def _field_names(type_: inspect.Type) -> tuple[str, ...]:
    """Return the names that a table of *type_* may use."""
    return tuple(field.encode_name for field in type_.fields) if isinstance(type_, inspect.StructType) else ()


def _choices(type_: inspect.Type) -> tuple[str, ...]:
    """Return the words that *type_* takes, when it takes only listed words."""
    if isinstance(type_, inspect.LiteralType):
        return tuple(value for value in type_.values if isinstance(value, str))
    return ()


def _not_finite(data: object, path: _Path) -> Iterator[_Path]:
    """Yield the path of every NaN and infinity in *data*."""
    if isinstance(data, float) and not math.isfinite(data):
        yield path
    elif isinstance(data, Mapping):
        for key, inner in data.items():
            yield from _not_finite(inner, (*path, key))
    elif isinstance(data, list | tuple):
        for index, inner in enumerate(data):
            yield from _not_finite(inner, (*path, index))


def _dotted(path: _Path) -> str:
    """Return ``a.b[0]: `` for a path, nothing for the root."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{text.removeprefix('.')}: " if text else ""
