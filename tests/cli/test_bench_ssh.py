"""edgekd bench over a real ssh, on loopback: what it brings back, what it leaves, and every way it can fail."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from benching import bench, require_refusal
from bundled import ROWS, bundle, small_network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import HOST, MISSING, Board, board

from edgekd.bench.connection import opened
from edgekd.bench.device_errors import NoRuntimeError
from edgekd.bench.python_run import run_python
from edgekd.bench.request import Request
from edgekd.bench.ssh import Ssh

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
DEVICE = ("--on", f"ssh:{HOST}", "--python", sys.executable)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Board]:
    """Give a board."""
    with board(tmp_path) as reached:
        yield reached


def test_a_device_measures_answers_and_keeps_nothing(device: Board, tmp_path: Path) -> None:
    """Real ssh and scp, the same numbers as here, golden answers too; the folder that was made there is gone."""
    model = bundle(tmp_path / "bundle")
    done = bench(model, *DEVICE, "--runs", 40, "--json", folder=tmp_path, path=device.bin)
    assert done.returncode == 0, done.stderr
    assert device.left() == []
    found = json.loads(done.stdout)
    assert found["where"] == f"ssh:{HOST}"
    assert len(found["run"]["samples_ms"]) == 40
    assert found["run"]["golden"]["samples"] == ROWS


def test_the_cores_of_the_target_are_used_there(device: Board, tmp_path: Path) -> None:
    """The first of its cluster; what the target wants prepared by hand is shown, not run."""
    model = small_network(tmp_path / "net.onnx")
    target = tmp_path / "board.toml"
    text = (Path(__file__).parents[2] / "targets/raspberry-pi-5.toml").read_text()
    target.write_text(text.replace('"raspberry-pi-5"', '"board"').replace('"aarch64"', f'"{os.uname().machine}"'))
    words = (model, *DEVICE, "--target", target, "--cool-down", 0, "--threads", 1, "--runs", 20)
    found = json.loads(bench(*words, "--json", folder=tmp_path, path=device.bin).stdout)
    assert found["run"]["cores"] == [0]
    assert found["target"] == "board"
    said = bench(*words, folder=tmp_path, path=device.bin).stdout
    assert "board is prepared there, by hand, with: echo performance | sudo tee" in said


@pytest.mark.parametrize(
    ("key", "python", "code", "sentence"),
    [
        ("other", "python3", 6, "Permission denied"),
        ("key", "false", 5, "false ended with 1: it gave no reason"),
        ("key", "no python; touch stolen", 5, "no python; touch stolen ended with 127"),
    ],
)
def test_a_device_that_cannot_is_one_sentence(
    tmp_path: Path, key: str, python: str, code: int, sentence: str
) -> None:
    """A wrong key; a Python that is none; one that would be a command. Nothing is remembered and nothing stays."""
    model = small_network(tmp_path / "net.onnx")
    with board(tmp_path, key=key) as device:
        done = bench(model, "--on", f"ssh:{HOST}", "--python", python, folder=tmp_path, path=device.bin)
        assert device.left() == []
    require_refusal(done, code, sentence)
    assert not (tmp_path / "history").exists()
    assert not list(tmp_path.rglob("stolen"))


def test_a_python_without_onnx_runtime_is_refused(device: Board, tmp_path: Path) -> None:
    """A real Python that sees no packages: exit code 8."""
    bare = device.programs / "bare-python"
    bare.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    model = small_network(tmp_path / "net.onnx")
    done = bench(model, "--on", f"ssh:{HOST}", "--python", bare, folder=tmp_path, path=device.bin)
    require_refusal(done, 8, "no ONNX Runtime for")


def test_an_older_onnx_runtime_than_needed_is_refused(
    device: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real one there against a version that is not out yet; the sentence says why there is a least one."""
    monkeypatch.setenv("PATH", f"{device.bin}:{os.environ['PATH']}")
    model = small_network(tmp_path / "net.onnx")
    request = Request(model="", threads=1, python=sys.executable, least_runtime="99.0")
    with opened(Ssh(host=HOST)) as reached, pytest.raises(NoRuntimeError, match=r"at least 99\.0 is needed: older ones"):
        run_python(reached, model, None, request)
    assert device.left() == []


def test_a_host_that_refuses_is_one_sentence(device: Board, tmp_path: Path) -> None:
    """Nothing listens on its port any more."""
    device.go_away()
    done = bench(small_network(tmp_path / "net.onnx"), *DEVICE, folder=tmp_path, path=device.bin)
    require_refusal(done, 6, "cannot be reached: ssh: connect to host 127.0.0.1")


@pytest.mark.slow  # as long as ssh waits for an answer
def test_a_host_that_takes_the_connection_and_says_nothing_is_one_sentence(tmp_path: Path) -> None:
    """ssh gives up after ten seconds."""
    with board(tmp_path) as device, socket.create_server(("127.0.0.1", 0)) as silent:
        configuration = tmp_path / "client.conf"
        port = silent.getsockname()[1]
        lines = configuration.read_text().splitlines(keepends=True)
        configuration.write_text("".join(f" Port {port}\n" if "Port " in line else line for line in lines))
        done = bench(small_network(tmp_path / "net.onnx"), *DEVICE, folder=tmp_path, path=device.bin)
    require_refusal(done, 6, "cannot be reached: Connection timed out during banner exchange")


def test_a_lost_connection_is_taken_up_again(device: Board, tmp_path: Path) -> None:
    """Every connection ends in the middle of the run; the run goes on there, and its samples come back."""
    model = small_network(tmp_path / "net.onnx")
    _when_it_runs(device, device.drop_connections)
    done = bench(model, *DEVICE, "--sustained", 0.1, "--json", folder=tmp_path, path=device.bin)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"]["started_ms"][-1] > 5500
    assert device.left() == []


@pytest.mark.slow  # as long as edgekd tries to get back
def test_a_connection_that_stays_lost_is_one_sentence_and_swept_up_later(device: Board, tmp_path: Path) -> None:
    """Exit code 6, and what was left is removed the next time, once it is ten minutes old and nothing runs in it."""
    model = small_network(tmp_path / "net.onnx")
    _when_it_runs(device, device.go_away)
    done = bench(model, *DEVICE, "--sustained", 0.1, folder=tmp_path, path=device.bin)
    require_refusal(done, 6, "What it left there is removed the next time something is measured there")
    (left,) = device.left()
    _wait_until(lambda: not (left / "pid").exists())
    os.utime(left, (time.time() - 700, time.time() - 700))
    (tmp_path / "again").mkdir()
    with board(tmp_path / "again", temporary=device.temporary) as again:
        assert bench(model, *DEVICE, "--runs", 20, folder=tmp_path, path=again.bin).returncode == 0
    assert device.left() == []


def test_what_another_session_runs_is_not_swept_up(device: Board, tmp_path: Path) -> None:
    """An old folder with a process that lives stays; one that is young stays too."""
    for name, age_s, pid in (("old", 700, os.getpid()), ("young", 0, 0)):
        folder = device.temporary / f"edgekd-bench.{name}"
        folder.mkdir()
        (folder / "pid").write_text(str(pid) if pid else "")
        os.utime(folder, (time.time() - age_s, time.time() - age_s))
    done = bench(small_network(tmp_path / "net.onnx"), *DEVICE, "--runs", 20, folder=tmp_path, path=device.bin)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in device.left()) == ["edgekd-bench.old", "edgekd-bench.young"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 96 kB; skip where this user may not make one."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", folder], check=False, capture_output=True)
    if made.returncode != 0:
        pytest.skip(f"needs the right to mount a tmpfs: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("filler", "sentence"),
    [
        (0, "MB are needed"),  # no room for the runner and an answer
        (96 * 1024, "its disk is full"),  # no room for a folder
    ],
)
def test_a_full_disk_there_is_one_sentence(small_disk: Path, tmp_path: Path, filler: int, sentence: str) -> None:
    """Exit code 7, and nothing stays."""
    model = small_network(tmp_path / "net.onnx")
    model.write_bytes(model.read_bytes() + b"\x32\x90\x4e" + b" " * 10_000)  # a long documentation string
    if filler:
        with (small_disk / "filler").open("wb", buffering=0) as file:
            _fill(file.fileno(), filler)
        for number in range(10_000):  # names take room in a tmpfs too
            try:
                (small_disk / f"f{number}").mkdir()
            except OSError:
                break
    with board(tmp_path, temporary=small_disk) as device:
        done = bench(model, *DEVICE, folder=tmp_path, path=device.bin)
        assert device.left() == []
    require_refusal(done, 7, sentence)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("0x0", "0x50005", "the board reports throttling or too low a voltage (0x50005)"),
        ("0x4", "0x4", "(0x4)"),
        ("0x50000", "0xd0000", "(0xd0000)"),
    ],
)
def test_a_board_that_throttles_shows_no_time_and_keeps_the_samples(
    device: Board, tmp_path: Path, before: str, after: str, sentence: str
) -> None:
    """vcgencmd is a recording: throttled after, all along, or once more. Exit code 10; later comparisons refuse it."""
    _write_vcgencmd(device.programs, before, after)
    model = small_network(tmp_path / "net.onnx")
    require_refusal(bench(model, *DEVICE, "--runs", 20, folder=tmp_path, path=device.bin), 10, sentence)
    (kept,) = (tmp_path / "history").glob("*.json")
    assert len(json.loads(kept.read_text())["run"]["samples_ms"]) == 20
    _write_vcgencmd(device.programs, "0x0", "0x0")
    done = bench(model, *DEVICE, "--runs", 20, "--compare", kept, folder=tmp_path, path=device.bin)
    assert done.returncode == 12
    assert "the board reports throttling" in done.stderr


def test_a_board_that_throttled_long_ago_is_only_criticised(device: Board, tmp_path: Path) -> None:
    """The same high bits before and after."""
    _write_vcgencmd(device.programs, "0x50000", "0x50000")
    done = bench(small_network(tmp_path / "net.onnx"), *DEVICE, "--runs", 30, folder=tmp_path, path=device.bin)
    assert done.returncode == 0, done.stderr
    assert "beware: the board has throttled since it started (0x50000)" in done.stdout


_NASTY = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=40
).filter(lambda name: name not in {".", ".."})
_SHELL = st.sampled_from(["$(touch stolen)", "`touch stolen`", "; touch stolen", "-oProxyCommand=touch stolen", "a'b\"c", "a\nb"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=_NASTY | _SHELL, python=_NASTY | _SHELL)
def test_no_name_reaches_a_shell(device: Board, tmp_path_factory: pytest.TempPathFactory, name: str, python: str) -> None:
    """A model of any name is measured by a Python of any name, over the real ssh; neither becomes a command."""
    folder = tmp_path_factory.mktemp("nasty")
    programs = folder / "programs"
    programs.mkdir()
    try:
        model = small_network(folder / f"{name}.onnx")
        (programs / python).symlink_to(sys.executable)
    except OSError:
        return  # too long for this file system
    (programs / python).unlink()
    (programs / python).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / python).chmod(0o755)
    words = (model, "--on", f"ssh:{HOST}", "--python", programs / python, "--runs", 1, "--warmup-runs", 1)
    done = bench(*words, folder=folder, path=device.bin)
    assert done.returncode == 0, done.stderr
    assert not list(Path.home().glob("stolen"))
    assert not list(folder.rglob("stolen"))
    assert device.left() == []


@given(host=_NASTY | _SHELL)
@settings(max_examples=200)
def test_no_host_is_an_option_or_a_command(host: str) -> None:
    """What is taken for a host is one word without a dash in front and without anything that a shell reads."""
    try:
        command = Ssh(host=host).command(("true",))
    except Exception as error:  # noqa: BLE001 - the type is the assertion
        assert type(error).__name__ == "ConfigError"  # noqa: PT017 - the other way is the other law
        return
    assert command[-2] == host
    assert not host.startswith("-")
    assert not set(host) & set(" \t\n'\"`$;&|<>(){}*?!#~\\")


def _when_it_runs(device: Board, act: object) -> None:
    """Call *act* once something runs in a folder there."""

    def wait() -> None:
        _wait_until(lambda: any((folder / "pid").exists() for folder in device.left()))
        time.sleep(1.5)  # into the timed runs
        act()  # type: ignore[operator]

    threading.Thread(target=wait, daemon=True).start()


def _wait_until(holds: object) -> None:
    """Return when *holds* does."""
    for _ in range(600):
        if holds():  # type: ignore[operator]
            return
        time.sleep(0.05)
    message = "it never came about"
    raise TimeoutError(message)


def _fill(descriptor: int, size: int) -> None:
    """Write up to *size* bytes, as many as go."""
    try:
        for _ in range(size // 512):
            os.write(descriptor, b"\0" * 512)
    except OSError:
        return


def _write_vcgencmd(programs: Path, before: str, after: str) -> None:
    """Put a recording of a Raspberry Pi's program there: one answer first, the other from then on."""
    asked = programs / "asked"
    asked.unlink(missing_ok=True)
    (programs / "vcgencmd").write_text(
        f"#!/bin/sh\n# a recording\nif [ -e {asked} ]; then echo throttled={after}; else echo throttled={before}; fi\n"
        f"touch {asked}\n"
    )
    (programs / "vcgencmd").chmod(0o755)
