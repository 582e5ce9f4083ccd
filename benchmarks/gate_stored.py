"""The gate against stored samples judged: sessions of one network and of slower ones, each compared with each.

    python benchmarks/gate_stored.py [SESSIONS]

A session is what ``edgekd gate --save`` writes. Sessions of the networks take turns, so that two of a kind lie minutes
apart; every second one of each kind is taken while another process loads a core. What else the machine does is not
kept away, and its load average is written down. Every session of the unchanged network is then the baseline of every
later session. These pairs share sessions: they are not independent. With the files in ``results/gate_stored`` a run
goes on where it was cut.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import msgspec
from gate import LAYERS, busy_core
from recording import RESULTS, at_most, write

from edgekd.bench.gate import GateSettings
from edgekd.bench.gate_samples import read_samples, write_samples
from edgekd.bench.gate_stored import Like, StoredVerdict, judge_samples, record

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from slowed import equal_layers

SESSIONS: Final = 24
KINDS: Final = ("same", "5 %", "same", "10 %")
FOLDER: Final = RESULTS / "gate_stored"
ROWS: Final = FOLDER / "sessions.jsonl"
SETTINGS: Final = GateSettings()


def main() -> None:
    """Take the sessions that are missing, and compare all."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []
    for number in range(len(rows), wanted):
        rows.append(_session(number))
        with ROWS.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(rows[-1]) + "\n")
    sys.exit(not _judge(rows))


def _session(number: int) -> dict[str, Any]:
    """Take one session, and return what it was and what else ran."""
    kind, turn = KINDS[number % len(KINDS)], number // len(KINDS)
    is_loaded = (turn + number % len(KINDS) // 2) % 2 == 1
    settings = msgspec.structs.replace(SETTINGS, seed=10_000 * number)
    with tempfile.TemporaryDirectory() as folder, busy_core() if is_loaded else nullcontext():
        network = equal_layers(Path(folder) / f"{LAYERS[kind]}.onnx", LAYERS[kind])
        before = os.getloadavg()[0]
        first = FOLDER / "00.json"
        like = None if number == 0 else Like(samples=read_samples(first), name=first.name)
        write_samples(FOLDER / f"{number:02}.json", record(network, settings, like=like))
    return {"file": f"{number:02}.json", "kind": kind, "loaded": is_loaded, "load": [before, os.getloadavg()[0]]}


def _judge(rows: list[dict[str, Any]]) -> bool:
    """Write what each pair says and return whether no unchanged network was called slower."""
    samples = [read_samples(FOLDER / row["file"]) for row in rows]
    pairs = []
    for first, baseline in enumerate(rows):
        if baseline["kind"] == "same":
            for second in range(first + 1, len(rows)):
                names = (baseline["file"], rows[second]["file"])
                verdict = judge_samples(samples[first], samples[second], SETTINGS, names=names)
                is_idle = not (baseline["loaded"] or rows[second]["loaded"])
                pairs.append(_pair(rows[second]["kind"], names, verdict) | {"idle": is_idle})
    counts, idle = (
        {kind: Counter(pair["answer"] for pair in some if pair["kind"] == kind) for kind in LAYERS}
        for some in (pairs, [pair for pair in pairs if pair["idle"]])
    )
    content = {
        "settings": msgspec.to_builtins(SETTINGS),
        "layers": LAYERS,
        "answers": counts,
        "answers_where_neither_was_loaded": idle,
        "pairs": pairs,
        "sessions": str(ROWS.relative_to(RESULTS)),
    }
    wrong = counts["same"]["regression"] / max(1, counts["same"].total())
    passed = sum(counts[kind]["pass"] for kind in ("5 %", "10 %"))
    promises = [
        at_most("regressions called where nothing changed, as a part", 0.01, wrong),
        at_most("slowdowns of 5 and 10 % that passed", 0, passed),
    ]
    print({kind: dict(found) for kind, found in counts.items()})
    return write("gate_stored", content, promises)


def _pair(kind: str, names: tuple[str, str], verdict: StoredVerdict) -> dict[str, Any]:
    """Return what two sessions say of each other."""
    one = verdict.comparisons[0]
    said = {"ratio": msgspec.to_builtins(one.ratio), "drift": one.drift}
    return {"kind": kind, "files": names, "answer": verdict.answer, **said}


if __name__ == "__main__":
    main()
