"""SHA-256 digests of bytes, files and plain values."""

import hashlib
import json
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 1 << 20


def bytes_digest(data: bytes) -> str:
    """Return the SHA-256 of *data* as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of the file at *path*, read in chunks of 1 MiB; raises what opening it raises."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def json_digest(value: object) -> str:
    """Return the SHA-256 of *value*'s canonical JSON."""
    return bytes_digest(canonical_json(value))


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of *value*: keys sorted, no spaces, ASCII only.

    Takes what JSON can say: mappings with string keys, lists and tuples (the same text), strings, numbers,
    booleans and None. Raises ValueError for NaN and the infinities, which JSON cannot say, and TypeError for
    anything else, so that two different values never share a digest by being rounded into one text.
    """
    _require_string_keys(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _require_string_keys(value: object) -> None:
    """Raise TypeError where a mapping has a key that json would silently turn into a string."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                message = f"canonical JSON takes string keys only; got {key!r}"
                raise TypeError(message)
            _require_string_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _require_string_keys(inner)
