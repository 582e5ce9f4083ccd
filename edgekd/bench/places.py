"""Where a file is timed: here, or on a device over ssh, with the user's own configuration; nothing stays there."""

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from edgekd.core.errors import EdgekdError

RUNNER: Final = Path(__file__).with_name("runner.py")
SSH: Final = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
SCP: Final = ("scp", "-q", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
_HOST: Final = re.compile(r"[A-Za-z0-9_.@:\[\]%-]+")
_CONNECTION: Final = 255


class DeviceError(EdgekdError):
    """A device did not answer, or could not do what was asked of it."""

    exit_code = 5


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner is asked for. *model* is a path where it runs, *python* a device's. *seconds*: go on so long."""

    model: str
    threads: int
    python: str = "python3"
    provider: str = "CPUExecutionProvider"
    batch: int = 1
    warmup_runs: int = 50
    runs: int = 200
    seconds: float = 0.0
    profile: bool = False
    timeout_s: float = 1800.0


def run_here(model: Path, request: Request) -> bytes:
    """Return what the runner prints about *model* in a fresh process of this machine."""
    with tempfile.TemporaryDirectory(prefix="edgekd-bench-") as name:
        asked = Path(name) / "request.json"
        here = msgspec.structs.replace(request, model=str(model.resolve()))
        asked.write_bytes(msgspec.json.encode(here))
        return _done([sys.executable, str(RUNNER), str(asked)], "this host", request.timeout_s)


def run_over_ssh(host: str, model: Path, request: Request) -> bytes:
    """Return what the runner prints about *model* on *host*, reached by the user's own ssh and its configuration.

    The model, the runner and the request are copied into a new folder there, which is removed whatever happens. Raises
    DeviceError where the host does not answer, refuses the key, has no space, no Python or no ONNX Runtime.
    """
    if not _HOST.fullmatch(host) or host.startswith("-"):
        message = f"ssh: {host!r} is no name of a host; write it as in ssh's configuration, for instance pi@board."
        raise DeviceError(message)
    with _remote_folder(host) as folder, tempfile.TemporaryDirectory(prefix="edgekd-bench-") as name:
        asked = Path(name) / "request.json"
        asked.write_bytes(msgspec.json.encode(msgspec.structs.replace(request, model=f"{folder}/model.onnx")))
        for source, there in ((model.resolve(), "model.onnx"), (RUNNER, "runner.py"), (asked, "request.json")):
            _done([*SCP, "--", str(source), f"{host}:{folder}/{there}"], host, request.timeout_s)
        command = shlex.join([request.python, f"{folder}/runner.py", f"{folder}/request.json"])
        return _done([*SSH, "--", host, command], host, request.timeout_s)


@contextmanager
def _remote_folder(host: str) -> Iterator[str]:
    """Give a new folder on *host* and remove it afterwards."""
    folder = _done([*SSH, "--", host, "mktemp -d"], host, 60).decode().strip()
    if not re.fullmatch(r"/[A-Za-z0-9_./-]+", folder):
        message = f"{host}: mktemp -d answered {folder!r}, which is no folder; check the login of that account."
        raise DeviceError(message)
    try:
        yield folder
    finally:
        subprocess.run([*SSH, "--", host, f"rm -rf -- {shlex.quote(folder)}"], capture_output=True, check=False)  # noqa: S603 - words


def _done(command: Sequence[str], where: str, timeout_s: float) -> bytes:
    """Return what *command* prints. Raises DeviceError with what it said on the error stream."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=timeout_s)  # noqa: S603 - words, no shell
    except subprocess.TimeoutExpired as error:
        message = f"{where}: no answer within {timeout_s:g} s; ask for fewer runs, or look whether it still answers."
        raise DeviceError(message) from error
    except FileNotFoundError as error:
        message = f"{command[0]}: not installed here; install an OpenSSH client."
        raise DeviceError(message) from error
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it gave no reason"]
    what = "cannot be reached" if done.returncode == _CONNECTION else f"{command[0]} ended with {done.returncode}"
    message = f"{where}: {what}: {said[0].rstrip('.')}."
    raise DeviceError(message)
