"""What every result file says of how it came about, and how a promise is judged."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
LIBRARIES = ("torch", "onnxruntime", "numpy", "onnx")


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """A bound and what was found."""

    what: str
    bound: str
    found: float
    holds: bool


def at_most(what: str, bound: float, found: float) -> Promise:
    """Return the promise that *found* is at most *bound*."""
    return Promise(what=what, bound=f"at most {bound:g}", found=found, holds=found <= bound)


def at_least(what: str, bound: float, found: float) -> Promise:
    """Return the promise that *found* is at least *bound*."""
    return Promise(what=what, bound=f"at least {bound:g}", found=found, holds=found >= bound)


def origin() -> dict[str, Any]:
    """Return date, commit, host and versions."""
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return {
        "date": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip(),
        "host": {
            "cpu": _cpu_name(),
            "machine": platform.machine(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {name: version(name) for name in LIBRARIES},
    }


def write(name: str, content: dict[str, Any], promises: list[Promise] | None = None) -> bool:
    """Write ``results/<name>.json``, print the promises, and return whether all of them hold."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    judged = promises or []
    text = json.dumps(origin() | content | {"promises": msgspec.to_builtins(judged)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    for promise in judged:
        print(f"{'holds' if promise.holds else 'MISSED':<7} {promise.what}: {promise.found:.4g} ({promise.bound})")
    return all(promise.holds for promise in judged)


def _cpu_name() -> str:
    """Return the processor's name, as the kernel gives it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
