"""Where a bundle may be written, told before any work."""

from pathlib import Path

import pytest

from edgekd.core.errors import ConfigError
from edgekd.report.destination import MANIFEST, check_destination


def test_a_new_place_an_empty_folder_and_an_old_bundle_are_taken(tmp_path: Path) -> None:
    """Parents of a new place are made; nothing else is left behind, and an old bundle stays until the new is whole."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / MANIFEST).write_text("{}")
    (tmp_path / "old" / "model.onnx").write_bytes(b"model")
    for out in (tmp_path / "new", tmp_path / "empty", tmp_path / "old", tmp_path / "a" / "b" / "new"):
        check_destination(out)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["a", "a/b", "empty", "old", f"old/{MANIFEST}", "old/model.onnx"]


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path: Path) -> None:
    """What is no bundle is somebody's work."""
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ConfigError, match="not a bundle of edgekd") as error:
        check_destination(tmp_path)
    assert error.value.exit_code == 2
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_a_file_in_the_way_is_refused_and_kept(tmp_path: Path) -> None:
    """A file is no folder."""
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="out: is not a folder"):
        check_destination(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    """Writing through it would end elsewhere."""
    (tmp_path / "out").symlink_to(tmp_path / "absent")
    with pytest.raises(ConfigError, match="out: is not a folder"):
        check_destination(tmp_path / "out")


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    """No folder can be made there, on any machine and for any user."""
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "out", tmp_path / "file" / "deep" / "out"):
        with pytest.raises(ConfigError) as error:
            check_destination(out)
        assert str(out) in str(error.value)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """What the file system cannot hold is found before any training."""
    with pytest.raises(ConfigError, match="shorter path"):
        check_destination(tmp_path / ("x" * 300))
