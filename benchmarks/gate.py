"""The gate judged: alarms where nothing changed, half of them under load, and slowdowns of 5 % and 10 % found.

    python benchmarks/gate.py [ROUNDS]

A round is two comparisons of a network with itself, one of them while another process loads a core, one with a network
5 % slower and one with a network 10 % slower: so many equal layers more, 20, 21 and 22. What ratio that really is, is
measured by itself first, in interleaved runs. Each comparison is one line of ``results/gate/rows.jsonl`` as soon as it
is done; with that file a run goes on where it was cut.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import msgspec
from recording import RESULTS, at_least, at_most, write

from edgekd.bench.gate import CANDIDATE, GateSettings, Verdict, compare, gate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from slowed import equal_layers

ROUNDS: Final = 150
LAYERS: Final = {"same": 20, "5 %": 21, "10 %": 22}
KINDS: Final = (("same", False), ("same", True), ("5 %", False), ("10 %", False))
ROWS: Final = RESULTS / "gate" / "rows.jsonl"
SETTINGS: Final = GateSettings()


def main() -> None:
    """Compare and judge."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    ROWS.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []
    with tempfile.TemporaryDirectory() as name:
        files = {kind: equal_layers(Path(name) / f"{layers}.onnx", layers) for kind, layers in LAYERS.items()}
        true = {kind: _true_ratio(files["same"], path) for kind, path in files.items()}
        for number in range(len(rows), rounds * len(KINDS)):
            kind, is_loaded = KINDS[number % len(KINDS)]
            settings = msgspec.structs.replace(SETTINGS, seed=10_000 * number)
            with busy_core() if is_loaded else nullcontext():
                rows.append(_row(kind, gate(files["same"], files[kind], settings), is_loaded=is_loaded))
            with ROWS.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(rows[-1]) + "\n")
    sys.exit(not _judge(rows, true))


def _row(kind: str, verdict: Verdict, *, is_loaded: bool) -> dict[str, Any]:
    """Return one comparison; the times themselves would be a gigabyte."""
    return {
        "kind": kind,
        "loaded": is_loaded,
        "answer": verdict.answer,
        "seconds": verdict.seconds,
        "comparisons": [
            {
                "answer": one.answer,
                "ratio": msgspec.to_builtins(one.ratio),
                "control": one.control.median,
                "pairs": one.pairs,
            }
            for one in verdict.comparisons
        ],
    }


def _judge(rows: list[dict[str, Any]], true: dict[str, float]) -> bool:
    """Write what was found and return whether all of it holds."""

    def share(answer: str, kind: str) -> float:
        found = [row["answer"] == answer for row in rows if row["kind"] == kind]
        return float(sum(found)) / max(1, len(found))

    slowest = max(row["seconds"] for row in rows)
    promises = [
        at_most("regressions called where nothing changed, half of them under load", 0.01, share("regression", "same")),
        at_least("slowdowns of 5 % found", 0.95, share("regression", "5 %")),
        at_least("slowdowns of 10 % found", 0.995, share("regression", "10 %")),
        at_most("seconds of the longest comparison", 60, slowest),
    ]
    content = {
        "settings": msgspec.to_builtins(SETTINGS),
        "layers": LAYERS,
        "true_ratios": true,
        "comparisons": {kind: sum(row["kind"] == kind for row in rows) for kind in LAYERS},
        "answers": {kind: {a: share(a, kind) for a in ("pass", "regression", "inconclusive")} for kind in LAYERS},
        "rows": str(ROWS.relative_to(RESULTS)),
    }
    return write("gate", content, promises)


def _true_ratio(base: Path, other: Path) -> float:
    """Return how many times as long *other* takes, by twenty blocks."""
    settings = msgspec.structs.replace(SETTINGS, max_regression=0.0, confidence=1.0, max_seconds=600)
    found = compare(base, other, settings, deadline=float("inf"), round_number=99)
    print(f"{CANDIDATE} {other.stem} layers: {found.ratio.median:.4f} ({found.pairs} pairs)", flush=True)
    return found.ratio.median


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
