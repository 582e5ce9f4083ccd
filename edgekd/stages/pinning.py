"""What a recipe says of a network, completed: its import string, and the digests of the code and tensors behind it."""

from pathlib import Path
from typing import Any

import msgspec

from edgekd.core.digest import file_digest, json_digest
from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError
from edgekd.networks.catalog import resolve_factory, source_of
from edgekd.networks.layout import STRUCTURE, WEIGHTS
from edgekd.stages.settings import ONNX_SUFFIX, Settings, Teach


class _Structure(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a saved network that names its code."""

    factory: str


def complete_origin(kind: type[Settings], given: dict[str, Any], *, where: str) -> None:
    """Put into *given*, in place, what follows from it: the import string, arguments that a name implies, digests."""
    if kind is Teach and given.get("given"):
        _resolve_given(given, where=where)
    if isinstance(given.get("factory"), str) and given["factory"]:
        resolved = resolve_factory(given["factory"])
        given["factory"] = resolved.factory
        if isinstance(given.get("arguments", {}), dict):
            given["arguments"] = dict(resolved.arguments) | given.get("arguments", {})
        code = "" if resolved.source is None else file_digest(resolved.source)
        _pin(given, "factory_sha256", code, where=f"{where}.factory: {given['factory']}: not the code")
    if isinstance(given.get("weights"), str) and given["weights"]:
        found = _digest_of_file(Path(given["weights"]), where=f"{where}.weights")
        _pin(given, "weights_sha256", found, where=f"{where}.weights: {given['weights']}: not the weights")
        if kind is Teach:
            given.setdefault("epochs", 0)


def _resolve_given(given: dict[str, Any], *, where: str) -> None:
    """Put into *given*, in place, what follows from trained teachers: their digests, and that nothing is built."""
    if given.get("factory") or given.get("weights"):
        message = f"{where}: given, beside factory or weights; expected a trained teacher or one to build, not both."
        raise ConfigError(message)
    names = [given["given"]] if isinstance(given["given"], str) else given["given"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        message = f"{where}.given: {names!r} given; expected the paths of ONNX files or of saved networks' folders."
        raise ConfigError(message)
    digests = [_digest_of_teacher(name, where=f"{where}.given") for name in names]
    _pin(given, "given_sha256", digests, where=f"{where}.given: {names}: not the teachers")
    given |= {"given": names, "factory": ""}
    given.setdefault("epochs", 0)


def _pin(given: dict[str, Any], field: str, found: str | list[str], *, where: str) -> None:
    """Put a digest into *given*, in place; ConfigError where another one stands there."""
    if given.get(field, found) != found:
        message = f"{where} that this recipe was made with; remove {field} from it to take the present one."
        raise ConfigError(message)
    given[field] = found


def _digest_of_teacher(name: str, *, where: str) -> str:
    """Return the digest of an ONNX file or of a folder with a saved network; ConfigError where it is missing."""
    if name.endswith(ONNX_SUFFIX):
        return _digest_of_file(Path(name), where=where)
    digests = {}
    for part in (STRUCTURE, WEIGHTS):
        if not (Path(name) / part).is_file():
            message = (
                f"{where}: {Path(name) / part}: no such file; expected an ONNX file, "
                f"or a folder with {STRUCTURE} and {WEIGHTS}."
            )
            raise ConfigError(message)
        digests[part] = file_digest(Path(name) / part)
    return json_digest(digests | {"code": _code_of(Path(name) / STRUCTURE)})


def _code_of(structure: Path) -> str:
    """Return the digest of the user's file behind a saved network, nothing for edgekd's own; it changes the answers."""
    with disk_errors(structure):
        content = structure.read_bytes()
    try:
        factory = msgspec.json.decode(content, type=_Structure).factory
    except msgspec.DecodeError as error:
        message = f"{structure}: cannot be read as a network ({error}); expected the JSON that edgekd writes."
        raise ConfigError(message) from error
    source = source_of(factory)
    return "" if source is None else file_digest(source)


def _digest_of_file(path: Path, *, where: str) -> str:
    """Return the digest of the file *path*; ConfigError where there is none."""
    if not path.is_file():
        message = f"{where}: {path}: no such file; check the path."
        raise ConfigError(message)
    with disk_errors(path):
        return file_digest(path)
