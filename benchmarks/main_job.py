"""Measure the main job from the outside and say which of its promises hold."""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "main_job.json"
EDGEKD = [sys.executable, "-m", "edgekd.cli.main"]
TARGETS = ("jetson-nano", "raspberry-pi-4")
SEEDS = (0, 1, 2)

MAXIMUM_COLD_S, MAXIMUM_AGAIN_S, MAXIMUM_MEMORY_GIB = 180.0, 15.0, 2.0
MINIMUM_ACCURACY, MAXIMUM_DROP_POINTS, MINIMUM_SIZE_RATIO, MINIMUM_MACS_RATIO = 0.975, 0.7, 12.0, 6.0
MINIMUM_AGREEMENT = 0.999


@dataclass(frozen=True)
class Promise:
    """One figure against its bound."""

    what: str
    bound: str
    found: float | str
    holds: bool


def main() -> None:
    """Run everything, write the result, print the promises; exit with 1 where one does not hold."""
    with tempfile.TemporaryDirectory(prefix="edgekd-benchmark-") as name:
        folder = Path(name)
        runs = [run for seed in SEEDS for run in runs_of_seed(folder / str(seed), seed)]
        repeated = runs_of_seed(folder / "repeated", SEEDS[0])
    promises = judge(runs, repeated)
    result = {
        "date": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "host": runs[0]["report"]["host"],
        "versions": runs[0]["report"]["versions"],
        "promises": [asdict(promise) for promise in promises],
        "runs": runs,
        "repeated_runs": repeated,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for promise in promises:
        print(f"{'holds' if promise.holds else 'MISSED':<7} {promise.what}: {promise.found} ({promise.bound})")
    sys.exit(not all(promise.holds for promise in promises))


def runs_of_seed(folder: Path, seed: int) -> list[dict[str, Any]]:
    """Return a run from an empty store, the same again, and one for the second target from the same store."""
    runs = [
        compress(folder, TARGETS[0], seed, kind="cold"),
        compress(folder, TARGETS[0], seed, kind="again"),
        compress(folder, TARGETS[1], seed, kind="second target"),
    ]
    shutil.rmtree(folder)
    return runs


def compress(folder: Path, target: str, seed: int, *, kind: str) -> dict[str, Any]:
    """Return one run of ``edgekd compress`` with its time, its peak memory, its report and its files' digests."""
    out = folder / target
    command = [*EDGEKD, "compress", "--target", target, "--seed", str(seed)]
    command += ["--out", str(out), "--store", str(folder / "store")]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = "" if process.stderr is None else process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    print(
        f"{target} seed {seed} {kind}: {seconds:.1f} s, {usage.ru_maxrss / 2**20:.2f} GiB, exit {code}",
        flush=True,
    )
    if code not in {0, 1}:
        sys.exit(said)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {
        "target": target,
        "seed": seed,
        "kind": kind,
        "exit_code": code,
        "seconds": seconds,
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "model_sha256": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.glob("*.onnx"))},
        "report": report,
    }


def judge(runs: list[dict[str, Any]], repeated: list[dict[str, Any]]) -> list[Promise]:
    """Return every promise of the main job with the figure that was found."""
    cold = [run for run in runs if run["kind"] == "cold"]
    again = [run for run in runs if run["kind"] == "again"]
    promises = [
        at_most(
            "jetson-nano from an empty store, slowest of 3, s",
            MAXIMUM_COLD_S,
            max(r["seconds"] for r in cold),
        ),
        at_most("the same command again, slowest of 3, s", MAXIMUM_AGAIN_S, max(r["seconds"] for r in again)),
        at_most("peak memory, GiB", MAXIMUM_MEMORY_GIB, max(r["peak_memory_bytes"] for r in cold) / 2**30),
    ]
    for target in TARGETS:
        promises += accuracy_promises(target, [r for r in runs if r["target"] == target and r["kind"] != "again"])
    promises += integer_promises([r for r in runs if r["target"] == "raspberry-pi-4"])
    same = [r["model_sha256"] for r in runs if r["seed"] == SEEDS[0]] == [r["model_sha256"] for r in repeated]
    promises.append(
        Promise(
            "two runs from empty stores",
            "bit-identical model files",
            "identical" if same else "different",
            same,
        )
    )
    return promises


def accuracy_promises(target: str, runs: list[dict[str, Any]]) -> list[Promise]:
    """Return what holds of the shipped file: medians over the seeds."""
    shipped = [run["report"]["stages"][-1] for run in runs]
    shrink = [run["report"]["shrink"] for run in runs]
    name = f"{target} ({runs[0]['report']['shipped']})"
    return [
        at_least(
            f"{name}: test accuracy, median of {len(runs)} seeds",
            MINIMUM_ACCURACY,
            statistics.median(row["measured"]["accuracy"] for row in shipped),
        ),
        at_most(
            f"{name}: points under the teacher, median",
            MAXIMUM_DROP_POINTS,
            statistics.median(row["drop_points"] for row in shrink),
        ),
        at_least(f"{name}: times smaller, least", MINIMUM_SIZE_RATIO, min(row["size_ratio"] for row in shrink)),
        at_least(f"{name}: times fewer MACs, least", MINIMUM_MACS_RATIO, min(row["macs_ratio"] for row in shrink)),
    ]


def integer_promises(runs: list[dict[str, Any]]) -> list[Promise]:
    """Return what holds of the INT8 file: integer kernels, and agreement with the simulation it was trained as."""
    records = [run["report"]["stage_records"] for run in runs]
    kernels = [record["export"]["files"]["int8"]["kernels"] for record in records]
    operators = [record["export"]["files"]["int8"]["operators"] for record in records]
    integer = all(
        k.get("QLinearConv") == o.get("Conv") and k.get("QGemm") == o.get("Gemm") and not {"Conv", "Gemm"} & k.keys()
        for k, o in zip(kernels, operators, strict=True)
    )
    agreement = min(record["quantize"]["agreement"]["test"]["top1"] for record in records)
    return [
        Promise(
            "raspberry-pi-4: operators after ONNX Runtime's optimization",
            "every Conv and Gemm integer",
            json.dumps(kernels[0]),
            integer,
        ),
        at_least(
            "raspberry-pi-4: simulation and reference name the same class, least",
            MINIMUM_AGREEMENT,
            agreement,
        ),
    ]


def at_most(what: str, bound: float, found: float) -> Promise:
    """Return the promise that *found* is at most *bound*."""
    return Promise(what, f"at most {bound:g}", round(found, 4), found <= bound + 1e-9)


def at_least(what: str, bound: float, found: float) -> Promise:
    """Return the promise that *found* is at least *bound*."""
    return Promise(what, f"at least {bound:g}", round(found, 4), found >= bound - 1e-9)


def commit() -> str:
    """Return the commit that was measured, marked where files differed from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", "edgekd", "targets") else "")


if __name__ == "__main__":
    main()
