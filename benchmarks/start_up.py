"""Measure how much longer light commands take than an empty interpreter."""

import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "start_up.json"
EDGEKD = [sys.executable, "-m", "edgekd.cli.main"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "edgekd --help": [*EDGEKD, "--help"],
    "bad input": [*EDGEKD, "compress", "--target", "jetson-nao"],
}
ROUNDS = 15
MAXIMUM_S = 0.35


def main() -> None:
    """Time the commands in turn, write the samples, print the medians; exit with 1 where one is over the bound."""
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            began = time.monotonic()
            subprocess.run(command, capture_output=True, check=False)
            samples[name].append(time.monotonic() - began)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    more = {name: medians[name] - medians["python -c pass"] for name in ("edgekd --help", "bad input")}
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    result = {
        "date": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip(),
        "host": {"machine": platform.machine(), "system": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("typer", "click", "msgspec", "rich")},
        "samples_s": samples,
        "promises": [
            {
                "what": f"{name}, median of {ROUNDS} over python -c pass, s",
                "bound": f"at most {MAXIMUM_S:g}",
                "found": round(seconds, 4),
                "holds": seconds <= MAXIMUM_S,
            }
            for name, seconds in more.items()
        ],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, seconds in more.items():
        print(f"{'holds' if seconds <= MAXIMUM_S else 'MISSED':<7} {name}: {seconds:.3f} s (at most {MAXIMUM_S:g})")
    sys.exit(any(seconds > MAXIMUM_S for seconds in more.values()))


if __name__ == "__main__":
    main()
