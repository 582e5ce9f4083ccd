"""Which machine measured: numbers of two hosts are not comparable, so each carries its host."""

import os
import platform
from pathlib import Path

import msgspec


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the software that a measurement ran on."""

    cpu: str
    logical_cores: int
    has_vnni: bool
    machine: str
    system: str
    python: str
    onnxruntime: str


def this_host() -> Host:
    """Return the fingerprint of the machine this runs on."""
    import onnxruntime  # noqa: PLC0415 - who only reads what hosts measured does not wait for it

    facts = _cpu_facts()
    return Host(
        cpu=facts.get("model name", platform.processor() or "unknown"),
        logical_cores=os.cpu_count() or 1,
        has_vnni="vnni" in facts.get("flags", ""),
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
    )


def _cpu_facts() -> dict[str, str]:
    """Return the first processor's lines of /proc/cpuinfo; nothing on systems without it."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
