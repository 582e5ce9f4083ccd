"""Whether the harness of edgekd bench adds to what it measures: against a bare loop, and against a program in C.

    python benchmarks/harness.py

One thread on one core. The loop of the runner and a bare loop take turns in one process, on the same session; the
program (tools/arm-emulation/run_model.c, built for this host) and the runner take turns as fresh processes on the same
release of ONNX Runtime.
A long run that reads the clocks once a second is looked at: what comes right behind a reading against all others.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
from built_in import exported
from onnx import TensorProto, helper
from recording import ROOT, Promise, at_most, write

from edgekd.bench.inputs import form_of, random_sample
from edgekd.bench.python_run import RUNNER
from edgekd.bench.raw_tensors import write_samples
from edgekd.bench.request import Request
from edgekd.export.legalize import legalize
from edgekd.export.shapes import fix_batch

runner: Any = import_module("edgekd.bench.runner")  # it has no types: it runs on Python 3.6 too

ROUNDS: Final = 60
EMPTY_RUNS: Final = 2000
PROCESSES: Final = 15
PROCESS_RUNS: Final = 300
SUSTAINED_S: Final = 60.0
NETWORKS: Final = ("dscnn", "resnet")

_IN_PYTHON: Final = """
import ctypes, sys, onnxruntime
words = [word.encode() for word in sys.argv[1:]]
ctypes.CDLL(sys.argv[1] + ".so").main(len(words), (ctypes.c_char_p * (len(words) + 1))(*words, None))
"""
"""The program as a library of a Python process."""

Feeds = dict[str, Any]


def main() -> None:
    """Measure all and judge."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    promises: list[Promise] = []
    content: dict[str, Any] = {"core": core, "rounds": ROUNDS, "processes": PROCESSES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overhead_us = overhead(empty_network(folder / "empty.onnx"))
        content["overhead_us"] = overhead_us
        promises.append(at_most("the harness adds to an inference, us, median", 3, float(np.median(overhead_us))))
        program = build(folder)
        for network in NETWORKS:
            path = folder / f"{network}.onnx"
            onnx.save(legalize(fix_batch(exported(network)), opset=13, ir_version=8), path)
            found, judged = compared(network, path, program, folder)
            content[network] = found
            promises += judged
        disturbed = sustained(folder / f"{NETWORKS[0]}.onnx", folder)
        content["sustained"] = disturbed
        share = disturbed["behind_a_reading"] / disturbed["others"] - 1
        promises.append(at_most("an inference behind a reading of the clocks, longer by, relative", 0.1, share))
    sys.exit(not write("harness", content, promises))


def overhead(path: Path) -> list[float]:
    """Return by how many microseconds an inference of nothing takes longer in the runner's loop, for each round."""
    session, feeds = opened(path)
    request = {"runs": EMPTY_RUNS, "seconds": 0, "provider": runner.CPU}
    run = runner.caller(session, feeds, request)
    differences = []
    for number in range(ROUNDS):
        loops = {"bare": lambda: bare(run), "runner": lambda: runner.timed(run, request)}
        spent = in_turn(loops, number)
        differences.append(1e6 * (spent["runner"] - spent["bare"]) / EMPTY_RUNS)
    return differences


def compared(name: str, path: Path, program: Path | None, folder: Path) -> tuple[dict[str, Any], list[Promise]]:
    """Return medians in milliseconds of the runner, a bare loop and the program in C, and what they promise."""
    session, feeds = opened(path)
    run = runner.caller(session, feeds, {"provider": runner.CPU})
    runs = int(np.clip(50 / runner.timed_ms(run), 10, 200))
    request = {"runs": runs, "seconds": 0}
    pairs = []
    for number in range(ROUNDS):
        loops: dict[str, Callable[[], list[float]]] = {
            "bare": lambda: bare_samples(run, runs),
            "runner": lambda: runner.timed(run, request)[0],
        }
        medians = {name: float(np.median(loops[name]())) for name in sorted(loops, reverse=number % 2 == 1)}
        pairs.append((medians["runner"], medians["bare"]))
    ratio = float(np.median([harness / plain for harness, plain in pairs]))
    found: dict[str, Any] = {"runner_and_bare_ms": pairs, "ratio_to_bare": ratio}
    promises = [at_most(f"{name}: median of the runner from a bare loop's, relative", 0.01, abs(ratio - 1))]
    if program is not None:
        ours, theirs, in_python = processes(path, program, folder)
        found |= {"runner_ms": ours, "program_ms": theirs, "program_in_python_ms": in_python}
        found["program_in_python_to_c"] = float(np.median(np.array(in_python) / np.array(theirs)))
        share = float(np.median(np.array(ours) / np.array(theirs)))
        found["ratio_to_c"] = share
        promises.append(at_most(f"{name}: median of the runner from the C program's, relative", 0.03, abs(share - 1)))
    return found, promises


def processes(path: Path, program: Path, folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Return the medians of fresh processes that take turns: the runner's, the program's, and its in a Python process.

    The last one is the C library called from a process that is Python all the same: what differs from the runner is
    only that the runner calls ONNX Runtime as it is built into the Python package.
    """
    core = max(os.sched_getaffinity(0))
    request = folder / "request.json"
    asked = Request(model=str(path), threads=1, runs=PROCESS_RUNS, cores=(core,))
    request.write_bytes(msgspec.json.encode(asked))
    kinds = write_samples([random_sample(form_of(path), 1, path=path)], folder / "samples")
    told = [
        *(str(program), "--model", str(path), "--samples", str(folder / "samples"), "--outputs", str(folder / "out")),
        *(word for kind in kinds for word in ("--input", str(kind))),
        *("--core", str(core), "--times", str(folder / "times"), "--warmup", "50", "--runs", str(PROCESS_RUNS)),
    ]
    ours: list[float] = []
    theirs: list[float] = []
    in_python: list[float] = []

    def run_ours() -> None:
        done = subprocess.run([sys.executable, str(RUNNER), str(request)], capture_output=True, check=True, cwd=folder)
        ours.append(float(np.median(json.loads(done.stdout)["samples_ms"])))

    def run_theirs() -> None:
        subprocess.run(told, capture_output=True, check=True, cwd=folder)
        theirs.append(_median_of(folder / "times"))

    def run_theirs_in_python() -> None:
        subprocess.run([sys.executable, "-c", _IN_PYTHON, *told], capture_output=True, check=True, cwd=folder)
        in_python.append(_median_of(folder / "times"))

    for number in range(PROCESSES):
        in_turn({"ours": run_ours, "theirs": run_theirs, "theirs in python": run_theirs_in_python}, number)
    return ours, theirs, in_python


def _median_of(times: Path) -> float:
    """Return the median milliseconds of the program's file of times."""
    lines = (line.split() for line in times.read_text().splitlines())
    return float(np.median([float(words[2]) for words in lines if words[0] == "sample"]))


def sustained(path: Path, folder: Path) -> dict[str, Any]:
    """Return the median milliseconds of inferences right behind a reading and of the others, with the raw samples."""
    request = folder / "long.json"
    asked = Request(model=str(path), threads=1, runs=1, seconds=SUSTAINED_S, cores=(max(os.sched_getaffinity(0)),))
    request.write_bytes(msgspec.json.encode(asked))
    done = subprocess.run([sys.executable, str(RUNNER), str(request)], capture_output=True, check=True, cwd=folder)
    run = json.loads(done.stdout)
    started = np.array(run["started_ms"])
    samples = np.array(run["samples_ms"])
    behind = np.searchsorted(started, [reading["started_ms"] for reading in run["readings"]])
    others = np.delete(samples, behind)
    return {
        "readings": len(behind),
        "behind_a_reading": float(np.median(samples[behind])),
        "others": float(np.median(others)),
        "behind_ms": samples[behind].tolist(),
        "others_ms": others[:: max(1, len(others) // 2000)].tolist(),
    }


def in_turn(loops: Mapping[str, Callable[[], object]], number: int) -> dict[str, float]:
    """Run every loop once, in another order every time; return the seconds that each took."""
    spent = {}
    for name in sorted(loops, reverse=number % 2 == 1):
        began = time.perf_counter()
        loops[name]()
        spent[name] = time.perf_counter() - began
    return spent


def bare(run: Callable[[], object]) -> None:
    """Run an inference so often, with nothing around it."""
    for _ in range(EMPTY_RUNS):
        run()


def bare_samples(run: Callable[[], object], runs: int) -> list[float]:
    """Return the milliseconds of each inference, in the least loop that tells them."""
    taken = []
    for _ in range(runs):
        began = time.perf_counter_ns()
        run()
        taken.append((time.perf_counter_ns() - began) / 1e6)
    return taken


def opened(path: Path) -> tuple[ort.InferenceSession, Feeds]:
    """Return a warm session of one thread, and what it is fed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = runner.examples(session, 1)
    for _ in range(50):
        session.run(None, feeds)
    return session, feeds


def empty_network(path: Path) -> Path:
    """Write a network that does next to nothing, so that the loop is what is seen."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "empty", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def build(folder: Path) -> Path | None:
    """Return the program built for this host, None where the wheel of this host has no library to link."""
    found = sorted((Path(ort.__file__).parent / "capi").glob("libonnxruntime.so*"))
    if not found:
        return None
    program, library = folder / "run_model", folder / "libonnxruntime.so.1"
    library.symlink_to(found[0])
    source = ROOT / "tools" / "arm-emulation" / "run_model.c"
    words: list[str | Path] = ["gcc", "-std=gnu11", "-O2", "-fPIC", source, library, "-lm", f"-Wl,-rpath,{folder}"]
    subprocess.run([*words, "-o", program], check=True)
    subprocess.run([*words, "-shared", "-o", f"{program}.so"], check=True)
    return program


if __name__ == "__main__":
    main()
