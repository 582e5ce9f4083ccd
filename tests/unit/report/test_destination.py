"""Where a bundle may be written, told before any work."""

import json
from pathlib import Path

import pytest

from edgekd.core.errors import ConfigError
from edgekd.report.destination import MANIFEST, check_destination

STORE = Path("/nowhere/store")
LISTING = {"format": 1, "precision": "fp16", "golden": {}, "files": {"model.onnx": {}}}


def test_a_new_place_an_empty_folder_and_an_old_bundle_are_taken(tmp_path: Path) -> None:
    """Parents of a new place are made; nothing else is left behind, and an old bundle stays until the new is whole."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / MANIFEST).write_text(json.dumps(LISTING))
    (tmp_path / "old" / "model.onnx").write_bytes(b"model")
    for out in (tmp_path / "new", tmp_path / "empty", tmp_path / "old", tmp_path / "a" / "b" / "new"):
        check_destination(out, STORE)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["a", "a/b", "empty", "old", f"old/{MANIFEST}", "old/model.onnx"]


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path: Path) -> None:
    """What is no bundle is somebody's work."""
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ConfigError, match=r"thesis\.txt.*not part of a bundle of edgekd") as error:
        check_destination(tmp_path, STORE)
    assert error.value.exit_code == 2
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_a_file_in_the_way_is_refused_and_kept(tmp_path: Path) -> None:
    """A file is no folder."""
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="out: it is not a folder"):
        check_destination(tmp_path / "out", STORE)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    """Writing through it would end elsewhere."""
    (tmp_path / "out").symlink_to(tmp_path / "absent")
    with pytest.raises(ConfigError, match="out: it is not a folder"):
        check_destination(tmp_path / "out", STORE)


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    """No folder can be made there, on any machine and for any user."""
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "out", tmp_path / "file" / "deep" / "out"):
        with pytest.raises(ConfigError) as error:
            check_destination(out, STORE)
        assert str(out) in str(error.value)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """What the file system cannot hold is found before any training."""
    with pytest.raises(ConfigError, match="shorter path"):
        check_destination(tmp_path / ("x" * 300), STORE)


@pytest.mark.parametrize(
    ("manifest", "foreign"), [("{}", "app.js"), (json.dumps({"manifest_version": 3}), "app.js"), ("[", "app.js")]
)
def test_another_program_s_manifest_makes_no_bundle(tmp_path: Path, manifest: str, foreign: str) -> None:
    """A folder with a manifest.json of something else keeps all its files."""
    (tmp_path / MANIFEST).write_text(manifest)
    (tmp_path / foreign).write_text("mine")
    with pytest.raises(ConfigError, match=foreign):
        check_destination(tmp_path, STORE)


def test_a_note_beside_an_old_bundle_is_kept(tmp_path: Path) -> None:
    """A file that the bundle's manifest does not list is somebody's, and the bundle is not replaced."""
    (tmp_path / MANIFEST).write_text(json.dumps(LISTING))
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "NOTES.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"NOTES\.txt"):
        check_destination(tmp_path, STORE)


@pytest.mark.parametrize(("out", "store"), [("bundle", "bundle/store"), ("store/bundle", "store"), ("one", "one")])
def test_store_and_bundle_are_never_one_inside_the_other(tmp_path: Path, out: str, store: str) -> None:
    """Replacing the bundle would take the store with it."""
    with pytest.raises(ConfigError, match="one inside the other"):
        check_destination(tmp_path / out, tmp_path / store)


def test_the_current_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process cannot stand in a folder that is replaced under it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="current folder"):
        check_destination(Path(), STORE)
