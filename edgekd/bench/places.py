"""Where a file is measured: the ways there are, by what ``--on`` says, and what measures at the end of each."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from edgekd.bench.adb import FOLDER, Adb
from edgekd.bench.connection import Device, Way
from edgekd.bench.emulator import Emulator
from edgekd.bench.here import Here
from edgekd.bench.measurement import Run
from edgekd.bench.native_run import run_native
from edgekd.bench.python_run import run_python
from edgekd.bench.request import TENSORRT, Request
from edgekd.bench.ssh import Ssh
from edgekd.bench.trtexec import run_trtexec
from edgekd.core.errors import ConfigError

EXPECTED: Final = "local, ssh:HOST, adb, adb:SERIAL, emulator or emulator:CORE"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A way, and the folder in which a new one is made there; without one, in its folder for temporary files."""

    way: Way
    parent: str = ""


def place_of(on: str) -> Place:
    """Return the place that ``--on`` names. Raises ConfigError where there is none of that name."""
    kind, _, name = on.partition(":")
    if (kind == "ssh" and not name) or kind not in _PLACES or (kind == "local" and name):
        message = f"--on: {on!r} given; expected {EXPECTED}."
        raise ConfigError(message)
    return _PLACES[kind](name)


def measure_there(
    device: Device, model: Path, golden: Path | None, request: Request, find: Callable[[], Emulator]
) -> Run:
    """Return what *device* measures; *find* gives the emulator, whose program runs where there is no Python."""
    if isinstance(device.way, Adb):
        return run_native(device, model, golden, request, find())
    if request.provider == TENSORRT:
        return run_trtexec(device, model, golden, request)
    return run_python(device, model, golden, request)


_PLACES: Final[Mapping[str, Callable[[str], Place]]] = MappingProxyType(
    {
        "adb": lambda name: Place(way=Adb(serial=name), parent=FOLDER),
        "local": lambda _: Place(way=Here()),
        "ssh": lambda name: Place(way=Ssh(host=name)),
    }
)
