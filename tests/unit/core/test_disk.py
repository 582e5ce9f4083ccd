"""Writing whole files, and sentences where the disk refuses."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd.core.disk import disk_errors, write_atomically
from edgekd.core.errors import ConfigError

WRITE_PAST_THE_LIMIT = """
import sys
from pathlib import Path
from edgekd.core.disk import write_atomically
from edgekd.core.errors import ConfigError
try:
    write_atomically(Path(sys.argv[1]), b"x" * 5000)
except ConfigError as error:
    print(error)
"""


def test_the_bytes_arrive_and_nothing_else_stays(tmp_path: Path) -> None:
    """The file has the new bytes; no temporary file is left beside it; its mode is a normal file's."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    umask = os.umask(0o022)
    try:
        write_atomically(path, b"new")
    finally:
        os.umask(umask)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(tiny_disk: Path) -> None:
    """With no space left the old file stays whole and the message says what to do."""
    path = tiny_disk / "model.onnx"
    write_atomically(path, b"old")
    with pytest.raises(ConfigError) as error:
        write_atomically(path, b"x" * 200_000)
    assert str(error.value).startswith(f"{path}: No space left on device; free some space")
    assert list(tiny_disk.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_a_file_size_limit_is_one_sentence(tmp_path: Path) -> None:
    """A real process with a limit of 1000 bytes per file is told so, and leaves nothing behind."""
    result = subprocess.run(
        [sys.executable, "-c", WRITE_PAST_THE_LIMIT, str(tmp_path / "big")],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert "File too large; raise the limit on file sizes" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    """A path that goes through a file, or makes a folder where a file is, says so."""
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="a part of this path is a file"):
        write_atomically(file / "inside", b"")
    with pytest.raises(ConfigError, match="a file has the name that a folder needs"), disk_errors(file):
        file.mkdir()


def test_a_place_where_nothing_can_be_made_is_one_sentence() -> None:
    """The kernel's own file system takes no files, not even from root."""
    with pytest.raises(ConfigError, match=r"/proc/edgekd: .*name a"):
        write_atomically(Path("/proc/edgekd"), b"")


def test_an_error_that_nobody_at_the_keyboard_can_cure_passes_through(tmp_path: Path) -> None:
    """A bug keeps its traceback: an OSError of another kind, or without a number, is not turned."""
    for bug in (OSError(errno.EBADF, "bad descriptor"), OSError("no number")):
        with pytest.raises(OSError, match=r"bad descriptor|no number") as error, disk_errors(tmp_path):
            raise bug
        assert error.value is bug
