"""The store: what is found is what was committed, whatever was killed, changed or full in between."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgekd.core.digest import bytes_digest
from edgekd.core.errors import ConfigError
from edgekd.core.store import Damage, Entry, Store, result_key

KEY = bytes_digest(b"a result")
OTHER_KEY = bytes_digest(b"another result")

# Runs in a second process: builds KEY if it is not there, and prints what it did.
BUILD = """
import sys, time
from pathlib import Path
from edgekd.core.store import Store
store, key = Store(Path(sys.argv[1])), sys.argv[2]
with store.lock(key, lambda: print("waited", flush=True)):
    if store.find(key) is None:
        print("building", flush=True)
        time.sleep(0.5)
        (store.empty_out(key) / "weights").write_bytes(b"12345")
        store.commit(key, {"stage": "teach"})
        print("built")
    else:
        print("reused")
"""

# Takes the lock, saves progress and never ends.
HANG = """
import sys, time
from pathlib import Path
from edgekd.core.store import Store
store, key = Store(Path(sys.argv[1])), sys.argv[2]
with store.lock(key, None):
    (store.scratch(key) / "progress" / "step").write_text("800")
    print("holding", flush=True)
    time.sleep(600)
"""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A stage's settings."""

    ratio: float = 0.5
    layers: tuple[int, ...] = (1, 2)


def _start(script: str, root: Path) -> subprocess.Popen[str]:
    """Start *script* on the store at *root* in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", script, str(root), KEY], stdout=subprocess.PIPE, text=True)


def _committed(root: Path, key: str = KEY) -> tuple[Store, Entry]:
    """Return a store with one result of two files."""
    store = Store(root)
    out = store.empty_out(key)
    (out / "weights.safetensors").write_bytes(b"12345")
    (out / "edits").mkdir()
    (out / "edits" / "prune.json").write_bytes(b"[]")
    return store, store.commit(key, {"accuracy": 0.975, "layers": ["a", "b"]})


def test_what_was_committed_is_found(tmp_path: Path) -> None:
    """A result comes back with its record and files, from another Store too; its scratch is gone."""
    _, committed = _committed(tmp_path)
    found = Store(tmp_path).find(KEY)
    assert found == committed
    assert committed.folder == tmp_path / "objects" / KEY[:2] / KEY
    assert committed.record == {"accuracy": 0.975, "layers": ["a", "b"]}
    assert committed.files["weights.safetensors"].size_bytes == 5
    assert committed.files["edits/prune.json"].sha256 == bytes_digest(b"[]")
    assert not (tmp_path / "scratch" / KEY).exists()


def test_nothing_is_found_where_nothing_was_committed(tmp_path: Path) -> None:
    """An empty store, and a store with another result, know nothing of a key, and looking makes no folder."""
    assert Store(tmp_path / "none").find(KEY) is None
    assert not (tmp_path / "none").exists()
    store, _ = _committed(tmp_path)
    assert store.find(OTHER_KEY) is None


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    """Flipping one bit of any byte of a result, its manifest too, makes it damage that names the file."""
    store, entry = _committed(tmp_path)
    for path in [path for path in entry.folder.rglob("*") if path.is_file()]:
        sound = path.read_bytes()
        for index in range(len(sound)):
            path.write_bytes(sound[:index] + bytes([sound[index] ^ 1]) + sound[index + 1 :])
            found = store.find(KEY)
            assert isinstance(found, Damage), f"{path.name} byte {index}"
            assert path.name in found.reason
        path.write_bytes(sound)
    assert store.find(KEY) == entry


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors is missing"),
        (lambda folder: (folder / "more").write_text(""), "more is not in manifest.json"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "manifest.json").write_text('{"key": 1}'), "expected a string"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), "not JSON"),
        (lambda folder: (folder / "edits" / "link").symlink_to("elsewhere"), "plain files only"),
    ],
)
def test_damage_says_what_is_wrong(tmp_path: Path, harm: object, words: str) -> None:
    """A missing, added or unreadable file is damage with a reason."""
    store, entry = _committed(tmp_path)
    assert callable(harm)
    harm(entry.folder)
    found = store.find(KEY)
    assert isinstance(found, Damage)
    assert words in found.reason


def test_a_result_under_another_key_is_damage(tmp_path: Path) -> None:
    """A folder that was moved to another key's place is not that key's result."""
    store, entry = _committed(tmp_path)
    place = tmp_path / "objects" / OTHER_KEY[:2] / OTHER_KEY
    place.parent.mkdir(exist_ok=True)
    entry.folder.rename(place)
    found = store.find(OTHER_KEY)
    assert isinstance(found, Damage)
    assert KEY in found.reason


def test_a_damaged_result_is_discarded_and_rebuilt(tmp_path: Path) -> None:
    """After discard there is nothing; after the next commit there is a sound result."""
    store, entry = _committed(tmp_path)
    (entry.folder / "weights.safetensors").write_bytes(b"54321")
    store.discard(KEY)
    assert store.find(KEY) is None
    assert list((tmp_path / "trash").iterdir()) == []
    _committed(tmp_path)
    assert isinstance(store.find(KEY), Entry)


def test_commit_replaces_damage_and_keeps_what_is_sound(tmp_path: Path) -> None:
    """A second commit of one key changes nothing if the first is sound, everything if it is damaged."""
    store, first = _committed(tmp_path)
    (store.empty_out(KEY) / "other").write_bytes(b"x")
    assert store.commit(KEY, {"run": 2}) == first
    (first.folder / "weights.safetensors").write_bytes(b"harm")
    (store.empty_out(KEY) / "other").write_bytes(b"x")
    assert store.commit(KEY, {"run": 2}).record == {"run": 2}


def test_scratch_survives_and_out_is_emptied_only_when_asked(tmp_path: Path) -> None:
    """What a killed run left in progress stays; its half-written results go when the next run starts them."""
    store = Store(tmp_path)
    (store.scratch(KEY) / "progress" / "step").write_text("800")
    (store.scratch(KEY) / "out" / "half").write_text("...")
    assert (store.scratch(KEY) / "out" / "half").exists()
    assert list(store.empty_out(KEY).iterdir()) == []
    assert (store.scratch(KEY) / "progress" / "step").read_text() == "800"


def test_the_store_keeps_its_own_names_for_itself(tmp_path: Path) -> None:
    """A result may not bring a manifest.json or a link, and a key is a whole digest."""
    store = Store(tmp_path)
    (store.empty_out(KEY) / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="the store's own"):
        store.commit(KEY, {})
    (store.empty_out(KEY) / "link").symlink_to("elsewhere")
    with pytest.raises(ValueError, match="plain files only"):
        store.commit(KEY, {})
    for key in ("", KEY[:-1], KEY.upper(), "../" + KEY[3:]):
        with pytest.raises(ValueError, match="64 lower-case"):
            store.find(key)


def test_two_processes_build_one_key_once(tmp_path: Path) -> None:
    """Of two processes that want one result at once, one builds; the other says it waits, and reuses."""
    processes = [_start(BUILD, tmp_path) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    assert said == [["building", "built"], ["waited", "reused"]]
    assert isinstance(Store(tmp_path).find(KEY), Entry)


def test_a_killed_holder_frees_the_key_and_leaves_its_progress(tmp_path: Path) -> None:
    """SIGKILL of a process that holds a lock blocks nobody, and the next run finds where it was."""
    holder = _start(HANG, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=60)
    store, waits = Store(tmp_path), []
    with store.lock(KEY, lambda: waits.append("waited")):
        assert (store.scratch(KEY) / "progress" / "step").read_text() == "800"
        assert store.find(KEY) is None
    assert waits == []


def test_keys_do_not_block_each_other(tmp_path: Path) -> None:
    """Two different results can be built at the same time."""
    store, waits = Store(tmp_path), []
    with store.lock(KEY), store.lock(OTHER_KEY, lambda: waits.append("waited")):
        assert waits == []


def test_a_full_disk_is_one_sentence_and_loses_nothing(tiny_disk: Path) -> None:
    """A commit that does not fit names the folder and leaves no result; what is there stays sound."""
    store, entry = _committed(tiny_disk)
    out = store.empty_out(OTHER_KEY)
    (out / "ballast").write_bytes(b"x" * 20_000)
    with pytest.raises(ConfigError, match=f"{tiny_disk}.*No space left on device; free some space"):
        store.commit(OTHER_KEY, {"text": "y" * 60_000})
    assert store.find(OTHER_KEY) is None
    assert store.find(KEY) == entry


def test_an_unusable_root_is_one_sentence(tmp_path: Path) -> None:
    """A root that is a file ends every method with a sentence that names it."""
    root = tmp_path / "file"
    root.write_text("")
    store = Store(root)
    for use in (lambda: store.scratch(KEY), lambda: store.lock(KEY).__enter__()):
        with pytest.raises(ConfigError, match=f"{root}.*is a file, not a folder"):
            use()


def test_the_key_counts_everything_that_makes_the_result() -> None:
    """Changing any one ingredient changes the key; the same ingredients give the same key."""
    ingredients: dict[str, object] = {
        "stage": "prune",
        "version": 1,
        "config": Config(),
        "inputs": {"network": KEY},
        "task": "digits",
        "seed": 0,
    }
    changes: tuple[dict[str, object], ...] = (
        {},
        {"stage": "distill"},
        {"version": 2},
        {"config": Config(ratio=0.4)},
        {"config": Config(layers=(1, 2, 3))},
        {"inputs": {"network": OTHER_KEY}},
        {"inputs": {"teacher": KEY}},
        {"task": "faces"},
        {"seed": 1},
    )
    keys = [result_key(**(ingredients | change)) for change in changes]  # type: ignore[arg-type]
    assert len(set(keys)) == len(changes)
    assert result_key(**ingredients) == keys[0]  # type: ignore[arg-type]
    assert all(len(key) == 64 for key in keys)


def test_a_record_with_nan_is_refused(tmp_path: Path) -> None:
    """NaN would not come back from JSON, so it never goes in."""
    store = Store(tmp_path)
    store.empty_out(KEY)
    with pytest.raises(ValueError, match="JSON"):
        store.commit(KEY, {"loss": float("nan")})
    assert store.find(KEY) is None


def test_the_manifest_is_readable_by_anyone(tmp_path: Path) -> None:
    """The manifest is plain JSON with the key, the record and each file's digest and size."""
    _, entry = _committed(tmp_path)
    manifest = json.loads((entry.folder / "manifest.json").read_text())
    assert manifest["key"] == KEY
    assert manifest["record"]["accuracy"] == 0.975
    assert manifest["files"]["edits/prune.json"] == {"sha256": bytes_digest(b"[]"), "size_bytes": 2}
