"""A real sshd on loopback, for a test that needs a device on a network."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
MISSING = "needs OpenSSH's server: apt-get install openssh-server" if not Path(SSHD).exists() else ""
HOST = "board"


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A host called ``board``: *bin* goes before PATH and knows it.

    There, *temporary* is where folders are made, and *programs* stands before PATH.
    """

    bin: Path
    temporary: Path
    programs: Path
    server: int

    def left(self) -> list[Path]:
        """Return the folders of edgekd that are there."""
        return list(self.temporary.glob("edgekd-*"))

    def drop_connections(self) -> None:
        """End every connection there is, as a network that fails does; what runs there is not told."""
        listed = Path(f"/proc/{self.server}/task/{self.server}/children").read_text()
        for process in map(int, listed.split()):
            os.kill(process, signal.SIGKILL)

    def go_away(self) -> None:
        """Stop listening, and end every connection."""
        os.kill(self.server, signal.SIGSTOP)
        self.drop_connections()
        os.kill(self.server, signal.SIGKILL)


@contextmanager
def board(folder: Path, *, key: str = "key", temporary: Path | None = None) -> Iterator[Board]:
    """Run sshd as this user. The client offers *key*, and only ``key`` is let in; *temporary* is its TMPDIR."""
    for name in ("host", "key", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temporary, here, programs = temporary or folder / "temporary", folder / "here", folder / "programs"
    for made in (temporary, here, programs):
        made.mkdir(exist_ok=True)
    (folder / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/key.pub\n"
        f"StrictModes no\nPidFile none\nPasswordAuthentication no\nUsePAM no\nSubsystem sftp internal-sftp\n"
        f'SetEnv "TMPDIR={temporary}" "PATH={programs}:{os.environ["PATH"]}"\n'
    )
    (folder / "client.conf").write_text(
        f"Host {HOST}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {folder}/{key}\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {folder}/known\n StrictHostKeyChecking accept-new\n"
    )
    for name in ("ssh", "scp"):  # what a user's own configuration would say, without touching this user's
        (here / name).write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {folder}/client.conf "$@"\n')
        (here / name).chmod(0o755)
    Path("/run/sshd").mkdir(parents=True, exist_ok=True) if os.geteuid() == 0 else None
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd.conf")], stderr=log)
        try:
            _wait_for(port)
            yield Board(bin=here, temporary=temporary, programs=programs, server=server.pid)
        finally:
            server.terminate()
            server.wait()


def _wait_for(port: int) -> None:
    """Return when something listens on *port*."""
    for _ in range(100):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    message = "sshd does not listen"
    raise TimeoutError(message)
