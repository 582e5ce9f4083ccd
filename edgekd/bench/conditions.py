"""What decides how fast this host is beyond its name: instruction set, clock governors, power mode."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from edgekd.core.digest import bytes_digest

_CPU_FACTS: Final = Path("/proc/cpuinfo")
_CPUS: Final = Path("/sys/devices/system/cpu")
_FEATURES: Final = ("flags", "Features", "cpu family", "model", "CPU part", "CPU variant")
_DIGITS: Final = 12


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """*instruction_set*: a digest of the first core's kind and of what it can do; two generations share a name."""

    instruction_set: str
    governors: tuple[str, ...]
    power_mode: str


def these_conditions() -> Conditions:
    """Return those of the machine this runs on; what it does not tell is empty."""
    governors = {path.read_text().strip() for path in _CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return Conditions(
        instruction_set=_instruction_set(), governors=tuple(sorted(governors)), power_mode=_said_by("nvpmodel", "-q")
    )


def _instruction_set() -> str:
    """Return a digest of the lines about the first core that say what it is and can do."""
    if not _CPU_FACTS.is_file():
        return ""
    first = _CPU_FACTS.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    facts = [line for line in first.splitlines() if line.partition(":")[0].strip() in _FEATURES]
    return bytes_digest("\n".join(facts).encode())[:_DIGITS]


def _said_by(program: str, *words: str) -> str:
    """Return what a program of the board says; nothing where there is none."""
    path = shutil.which(program)
    if path is None:
        return ""
    done = subprocess.run([path, *words], capture_output=True, check=False, timeout=10)  # noqa: S603 - fixed words
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
