"""edgekd bench over a real ssh, on loopback: what it brings back, what it leaves, and every way it can fail."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import msgspec
import onnx
import pytest
from benching import bench, require_refusal
from bundled import ROWS, bundle, small_network
from commands import edgekd_command, interruptible
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import HOST, MISSING, Board, board

from edgekd.bench.connection import done, opened
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
    ended = bench(model, *DEVICE, "--runs", 40, "--json", folder=tmp_path, path=device.bin)
    assert ended.returncode == 0, ended.stderr
    assert device.left() == []
    found = json.loads(ended.stdout)
    assert found["where"] == f"ssh:{HOST}"
    assert len(found["run"]["samples_ms"]) == 40
    assert found["run"]["golden"]["samples"] == ROWS


@pytest.mark.slow
def test_tensors_in_files_of_their_own_travel_along(device: Board, tmp_path: Path) -> None:
    """A model whose weights lie beside it runs there; one whose file is missing is bad input."""
    model = onnx.load(small_network(tmp_path / "small.onnx"))
    split = tmp_path / "split.onnx"
    onnx.save(model, split, save_as_external_data=True, location="weights.bin", size_threshold=0)
    words = (split, *DEVICE, "--runs", 20)
    ended = bench(*words, folder=tmp_path, path=device.bin)
    assert ended.returncode == 0, ended.stderr
    (tmp_path / "weights.bin").unlink()
    require_refusal(bench(*words, folder=tmp_path, path=device.bin), 2, "its tensors lie in 'weights.bin', which is no")
    assert device.left() == []


@pytest.mark.slow
def test_the_cores_of_the_target_are_used_there(device: Board, tmp_path: Path) -> None:
    """The first of its cluster; what the target wants prepared by hand is shown, not run."""
    model = small_network(tmp_path / "net.onnx")
    target = tmp_path / "board.toml"
    text = (Path(__file__).parents[2] / "targets/raspberry-pi-5.toml").read_text()
    text = text.replace('"raspberry-pi-5"', '"board"')
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("device_tree = "))
    if os.uname().machine == "x86_64":
        text = text.replace('"aarch64"', '"x86_64"').replace('"onnxruntime-arm64"', '"onnxruntime-x86"')
    target.write_text(text)
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
def test_a_device_that_cannot_is_one_sentence(tmp_path: Path, key: str, python: str, code: int, sentence: str) -> None:
    """A wrong key; a Python that is none; one that would be a command. Nothing is remembered and nothing stays."""
    model = small_network(tmp_path / "net.onnx")
    with board(tmp_path, key=key) as device:
        ended = bench(model, "--on", f"ssh:{HOST}", "--python", python, folder=tmp_path, path=device.bin)
        assert device.left() == []
    require_refusal(ended, code, sentence)
    assert not (tmp_path / "history").exists()
    assert not list(tmp_path.rglob("stolen"))


def test_a_python_without_onnx_runtime_is_refused(device: Board, tmp_path: Path) -> None:
    """A real Python that sees no packages: exit code 8."""
    bare = device.programs / "bare-python"
    bare.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    model = small_network(tmp_path / "net.onnx")
    ended = bench(model, "--on", f"ssh:{HOST}", "--python", bare, folder=tmp_path, path=device.bin)
    require_refusal(ended, 8, "no ONNX Runtime for")


def test_an_older_onnx_runtime_than_needed_is_refused(
    device: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real one there against a version that is not out yet; the sentence says why there is a least one."""
    monkeypatch.setenv("PATH", f"{device.bin}:{os.environ['PATH']}")
    model = small_network(tmp_path / "net.onnx")
    request = Request(model="", threads=1, python=sys.executable, least_runtime="99.0")
    with (
        opened(Ssh(host=HOST)) as reached,
        pytest.raises(NoRuntimeError, match=r"at least 99\.0 is needed: older ones"),
    ):
        run_python(reached, model, None, request)
    assert device.left() == []


def test_a_host_that_refuses_is_one_sentence(device: Board, tmp_path: Path) -> None:
    """Nothing listens on its port any more."""
    device.go_away()
    ended = bench(small_network(tmp_path / "net.onnx"), *DEVICE, folder=tmp_path, path=device.bin)
    require_refusal(ended, 6, "cannot be reached: ssh: connect to host 127.0.0.1")


@pytest.mark.slow  # as long as ssh waits for an answer
def test_a_host_that_takes_the_connection_and_says_nothing_is_one_sentence(tmp_path: Path) -> None:
    """The client gives up after ten seconds."""
    with board(tmp_path) as device, socket.create_server(("127.0.0.1", 0)) as silent:
        configuration = tmp_path / "client.conf"
        port = silent.getsockname()[1]
        lines = configuration.read_text().splitlines(keepends=True)
        configuration.write_text("".join(f" Port {port}\n" if "Port " in line else line for line in lines))
        ended = bench(small_network(tmp_path / "net.onnx"), *DEVICE, folder=tmp_path, path=device.bin)
    require_refusal(ended, 6, "timed out")


@pytest.mark.slow  # six seconds of a run
def test_a_lost_connection_is_taken_up_again(device: Board, tmp_path: Path) -> None:
    """Every connection ends in the middle of the run; the run goes on there, and its samples come back."""
    model = small_network(tmp_path / "net.onnx")
    _when_it_runs(device, device.drop_connections)
    ended = bench(model, *DEVICE, "--sustained", 0.1, "--json", folder=tmp_path, path=device.bin)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["run"]["started_ms"][-1] > 5500
    assert device.left() == []


@pytest.mark.slow  # as long as edgekd tries to get back
def test_a_connection_that_stays_lost_is_one_sentence_and_swept_up_later(device: Board, tmp_path: Path) -> None:
    """Exit code 6, and what was left is removed the next time, once it is ten minutes old and nothing runs in it."""
    model = small_network(tmp_path / "net.onnx")
    _when_it_runs(device, device.go_away)
    ended = bench(model, *DEVICE, "--sustained", 0.1, folder=tmp_path, path=device.bin)
    require_refusal(ended, 6, "What it left there is removed the next time something is measured there")
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
    ended = bench(small_network(tmp_path / "net.onnx"), *DEVICE, "--runs", 20, folder=tmp_path, path=device.bin)
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in device.left()) == ["edgekd-bench.old", "edgekd-bench.young"]


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Give a disk made with *options*; skip where this user may not make one."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True)
    if made.returncode != 0:
        pytest.skip(f"needs the right to mount a tmpfs: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("options", "words", "sentence"),
    [
        ("size=64k", (), "MB are needed; make room there, or set TMPDIR there"),  # no room for the runner and an answer
        ("nr_inodes=1", (), "its disk is full; make room there"),  # none for a folder
        pytest.param("size=120k", ("--runs", 50_000), "MB are needed", marks=pytest.mark.slow),  # the samples fill it
    ],
)
def test_a_full_disk_there_is_one_sentence(
    tmp_path: Path, options: str, words: tuple[object, ...], sentence: str
) -> None:
    """Exit code 7, and nothing stays."""
    model = small_network(tmp_path / "net.onnx")
    with small_disk(tmp_path / "disk", options) as disk, board(tmp_path, temporary=disk) as device:
        ended = bench(model, *DEVICE, *words, folder=tmp_path, path=device.bin)
        assert device.left() == []
    require_refusal(ended, 7, sentence)


@pytest.mark.slow  # two measurements each
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
    """A recorded vcgencmd: throttled after, all along, or once more. Exit code 10; later comparisons refuse it."""
    _write_vcgencmd(device.programs, before, after)
    model = small_network(tmp_path / "net.onnx")
    require_refusal(bench(model, *DEVICE, "--runs", 20, folder=tmp_path, path=device.bin), 10, sentence)
    (kept,) = (tmp_path / "history").glob("*.json")
    assert len(json.loads(kept.read_text())["run"]["samples_ms"]) == 20
    _write_vcgencmd(device.programs, "0x0", "0x0")
    ended = bench(model, *DEVICE, "--runs", 20, "--compare", kept, folder=tmp_path, path=device.bin)
    assert ended.returncode == 12
    assert "the board reports throttling" in ended.stderr


@pytest.mark.slow
def test_the_check_of_the_target_is_run_there_and_believed(device: Board, tmp_path: Path) -> None:
    """A recorded program says cool before and hot after; a check that wants root is not run."""
    asked, program = device.programs / "asked-state", device.programs / "heat-state"
    program.write_text(
        f"#!/bin/sh\n# a recording\nif [ -e {asked} ]; then echo hot; else echo cool; fi\ntouch {asked}\n"
    )
    program.chmod(0o755)
    model, target = small_network(tmp_path / "net.onnx"), tmp_path / "board.toml"
    text = (Path(__file__).parents[2] / "targets/raspberry-pi-5.toml").read_text()
    text = text.replace('"raspberry-pi-5"', '"board"').replace('"throttled=0x0"', '"cool"')
    words = (model, *DEVICE, "--target", target, "--cool-down", 0, "--threads", 1, "--runs", 20)
    target.write_text(text.replace('"vcgencmd get_throttled"', '"sudo heat-state"'))
    assert bench(*words, folder=tmp_path, path=device.bin).returncode == 0
    assert not asked.exists()
    target.write_text(text.replace('"vcgencmd get_throttled"', '"heat-state"'))
    ended = bench(*words, folder=tmp_path, path=device.bin)
    require_refusal(ended, 10, "board's check (heat-state) said 'cool' before and 'hot' after")


@pytest.mark.slow
def _interrupt(running: "subprocess.Popen[bytes]") -> None:
    """Send what Ctrl-C sends: SIGINT to all that the terminal runs."""
    os.killpg(running.pid, signal.SIGINT)


def _cancel(running: "subprocess.Popen[bytes]") -> None:
    """Send what the cancel of a CI job sends: SIGTERM to the command."""
    running.terminate()


@pytest.mark.parametrize("end", [_interrupt, _cancel])
def test_an_interrupt_leaves_nothing_there(
    device: Board, tmp_path: Path, end: Callable[["subprocess.Popen[bytes]"], None]
) -> None:
    """Ctrl-C or a cancel in the middle of a run: exit code 130, the run there is ended, its folder gone."""
    model = small_network(tmp_path / "net.onnx")
    command = [*edgekd_command(), "bench", str(model), *DEVICE, "--sustained", "1"]
    own = {"PATH": f"{device.bin}:{os.environ['PATH']}", "EDGEKD_HISTORY": str(tmp_path / "history")}
    with interruptible(), subprocess.Popen(command, env=os.environ | own, start_new_session=True) as running:
        _wait_until(lambda: any((folder / "pid").exists() for folder in device.left()))
        time.sleep(1)
        pids = [int((folder / "pid").read_text()) for folder in device.left()]
        end(running)
        assert running.wait(30) == 130
    assert device.left() == []
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not (tmp_path / "history").exists()


def test_a_board_that_throttled_long_ago_is_only_criticised(device: Board, tmp_path: Path) -> None:
    """The same high bits before and after."""
    _write_vcgencmd(device.programs, "0x50000", "0x50000")
    ended = bench(small_network(tmp_path / "net.onnx"), *DEVICE, "--runs", 30, folder=tmp_path, path=device.bin)
    assert ended.returncode == 0, ended.stderr
    assert "beware: the board has throttled since it started (0x50000)" in ended.stdout


_NASTY = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in {".", ".."})
_SHELL = st.sampled_from(
    ["$(touch stolen)", "`touch stolen`", "; touch stolen", "-oProxyCommand=touch stolen", "a'b\"c", "a\nb", "*", "~"]
)


@pytest.mark.slow  # a handshake for each name
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=_NASTY | _SHELL)
def test_no_word_reaches_the_shell_there(device: Board, word: str) -> None:
    """Over the real ssh a word of any form arrives as it was, and nothing else happens."""
    way = _WayThrough(ssh=Ssh(host=HOST), bin=device.bin)
    said = done(way, way.command(("sh", "-c", 'printf %s "$1"', "sh", word)), timeout_s=30)
    assert said == word.encode()
    assert not (Path.home() / "stolen").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["-rf $(touch stolen)", "a'b\"c;touch stolen\n*", "host:path"])
def test_a_model_and_a_python_of_any_name_are_measured(device: Board, tmp_path: Path, name: str) -> None:
    """Neither name becomes an option, a command, a pattern or another host."""
    python = device.programs / name
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    model = small_network(tmp_path / f"{name}.onnx")
    words = (model, "--on", f"ssh:{HOST}", "--python", python, "--runs", 5, "--warmup-runs", 5)
    ended = bench(*words, folder=tmp_path, path=device.bin)
    assert ended.returncode == 0, ended.stderr
    assert not list(tmp_path.rglob("stolen"))
    assert not (Path.home() / "stolen").exists()
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


class _WayThrough(msgspec.Struct, frozen=True, kw_only=True):
    """The user's ssh, with the board's own configuration."""

    ssh: Ssh
    bin: Path

    @property
    def where(self) -> str:
        """Return the device as it was asked for."""
        return self.ssh.where

    def session(self) -> AbstractContextManager["_WayThrough"]:
        """Give the way as it is."""
        return nullcontext(self)

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the board's ssh with *words*."""
        return [str(self.bin / "ssh"), *self.ssh.command(words)[1:]]

    def copy_there(self, sources: Sequence[Path], folder: str) -> list[str]:
        """Return the board's scp."""
        return [str(self.bin / "scp"), *self.ssh.copy_there(sources, folder)[1:]]

    def unreachable(self, code: int, said: str, /) -> str | None:
        """Return what ssh's way returns."""
        return self.ssh.unreachable(code, said)


def _when_it_runs(device: Board, act: Callable[[], None]) -> None:
    """Call *act* once something runs in a folder there."""

    def wait() -> None:
        _wait_until(lambda: any((folder / "pid").exists() for folder in device.left()))
        time.sleep(1.5)  # into the timed runs
        act()

    threading.Thread(target=wait, daemon=True).start()


def _wait_until(holds: Callable[[], bool]) -> None:
    """Return when *holds* does."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    message = "it never came about"
    raise TimeoutError(message)


def _write_vcgencmd(programs: Path, before: str, after: str) -> None:
    """Put a recording of a Raspberry Pi's program there: one answer first, the other from then on."""
    asked = programs / "asked"
    asked.unlink(missing_ok=True)
    (programs / "vcgencmd").write_text(
        f"#!/bin/sh\n# a recording\nif [ -e {asked} ]; then echo throttled={after}; else echo throttled={before}; fi\n"
        f"touch {asked}\n"
    )
    (programs / "vcgencmd").chmod(0o755)
