"""Digests of bytes, files and values."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.digest import bytes_digest, canonical_json, file_digest, json_digest

# The first two are the published SHA-256 test vectors of FIPS 180-2.
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


def test_digests_are_sha256() -> None:
    """Bytes give the digests that the standard prints."""
    assert bytes_digest(b"") == EMPTY
    assert bytes_digest(b"abc") == ABC


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """A file longer than one chunk has the digest of its bytes as a whole."""
    data = bytes(range(256)) * 5000
    path = tmp_path / "data"
    path.write_bytes(data)
    assert file_digest(path) == bytes_digest(data)


def test_canonical_json_is_one_text() -> None:
    """Keys are sorted, nothing is spaced, tuples are lists, everything is ASCII."""
    value = {"b": (1, 2.5), "a": {"d": None, "c": "é"}}
    assert canonical_json(value) == b'{"a":{"c":"\\u00e9","d":null},"b":[1,2.5]}'


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_never_counts(value: dict[str, object]) -> None:
    """Two mappings with the same items have one digest."""
    backwards = dict(reversed(list(value.items())))
    assert json_digest(value) == json_digest(backwards)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    """NaN has no JSON, so it has no digest."""
    with pytest.raises(ValueError, match="JSON"):
        json_digest(value)


def test_a_key_that_is_not_a_string_is_refused() -> None:
    """1 and "1" must not share a digest by being written alike."""
    with pytest.raises(TypeError, match="string keys"):
        json_digest([{1: "a"}])
