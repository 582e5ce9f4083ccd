"""What the measuring itself costs: our timing loops beside bare ones, and beside ONNX Runtime's C API.

    python benchmarks/harness.py

One network, one session: bare loop, the runner's loop and the gate's take turns in another order every time, and only
what they differ by in a round counts. The C program (``harness_loop.c``, built with ``cc`` against the library in the
wheel) cannot share a session: there, fresh processes take turns.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from recording import ROOT, Promise, at_most, write

from edgekd.bench import interleaved, runner
from edgekd.bench.blocks import SAMPLE_SECONDS
from edgekd.bench.statistics import ratio_interval

Rows = NDArray[np.float64]
Call = Callable[[], object]
Loop = Callable[[interleaved.Run, int], Rows]

SMALLEST: Final[Mapping[str, int]] = {"layers": 1, "channels": 4, "side": 8}
LAYERS: Final = (4, 20, 40)  # values of many more layers fade into denormals, which take another time
CHANNELS, SIDE, SEED = 32, 24, 0
WARM_UP: Final = 50
OVERHEAD_ROUNDS, OVERHEAD_RUNS = 400, 200
MEDIAN_ROUNDS, PROCESS_ROUNDS = 600, 12
GROUPS: Final = 2
"""A round is short, so that what disturbs the machine disturbs all of its loops: two samples of the gate."""

PROCESS_SECONDS: Final = 0.3
BARE: Final[Mapping[str, str]] = {"the runner's loop": "bare", "the gate's loop": "bare, with feeds"}
"""Each of our loops, and the bare one that makes the same call."""

C_SOURCE: Final = ROOT / "benchmarks" / "harness_loop.c"


def main() -> None:
    """Measure and judge."""
    if len(sys.argv) > 1:
        _answer(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overhead = _overhead(folder)
        medians = {layers: _medians(_network(folder, layers)) for layers in LAYERS}
        program = _built(folder)
        beside_c = {layers: _beside_c(program, _network(folder, layers), folder) for layers in LAYERS}
    promises = [
        at_most(f"microseconds that {loop} adds to an inference", 3, overhead[loop]["median_us"]) for loop in BARE
    ]
    for layers in LAYERS:
        promises += [
            _near_one(f"{loop} over a bare loop, {layers} layers", 0.01, ratio)
            for loop, ratio in medians[layers]["ratios"].items()
        ]
        promises.append(
            _near_one(
                f"the runner's loop over C, {layers} layers", 0.03, beside_c[layers]["ratios"]["the runner's loop"]
            )
        )
    content = {"seed": SEED, "overhead": overhead, "medians": medians, "beside_c": beside_c}
    sys.exit(not write("harness", content, promises))


def _near_one(what: str, bound: float, ratio: Mapping[str, float]) -> Promise:
    """Return the promise that a ratio is 1 within *bound*."""
    found = abs(ratio["median"] - 1)
    return at_most(f"{what}: distance of the ratio of medians from 1", bound, found)


def _overhead(folder: Path) -> dict[str, Any]:
    """Return how many microseconds each loop adds to an inference of a network that takes next to none."""
    run = _warm(_network(folder, **SMALLEST))
    loops: dict[str, Callable[[], object]] = {
        "bare": partial(_untimed, _bound_call(run)),
        "the runner's loop": partial(_runner, run, OVERHEAD_RUNS),
        "bare, with feeds": partial(_untimed, _fed_call(run)),
        "the gate's loop": partial(run.milliseconds, OVERHEAD_RUNS),
    }
    taken = _in_turn({name: partial(_microseconds, loop) for name, loop in loops.items()}, OVERHEAD_ROUNDS)
    return {
        name: {"median_us": float(np.median(taken[name] - taken[bare])), "rounds_us": taken[name].round(4).tolist()}
        for name, bare in BARE.items()
    } | {bare: {"median_us": 0.0, "rounds_us": taken[bare].round(4).tolist()} for bare in BARE.values()}


def _medians(network: Path) -> dict[str, Any]:
    """Return the ratio of each loop's median to that of a bare loop which notes the clock after each inference.

    Each sample of the gate is the mean of several inferences, and so are those it is compared with.
    """
    run = _warm(network)
    runs = GROUPS * max(1, round(SAMPLE_SECONDS / run.warm()))
    loops: dict[str, Loop] = {
        "bare": lambda run, runs: _bare(_bound_call(run), runs),
        "the runner's loop": _runner,
        "bare, with feeds": lambda run, runs: _bare(_fed_call(run), runs).reshape(GROUPS, -1).mean(axis=1),
        "the gate's loop": _gate_samples,
    }
    taken = _in_turn({name: partial(_median, loop, run, runs) for name, loop in loops.items()}, MEDIAN_ROUNDS)
    return {
        "inferences_in_a_round": runs,
        "medians_ms": {name: values.round(5).tolist() for name, values in taken.items()},
        "ratios": {name: _ratio(taken[name], taken[bare]) for name, bare in BARE.items()},
    }


def _beside_c(program: Path, network: Path, folder: Path) -> dict[str, Any]:
    """Return the ratios of medians to those of the C program, in fresh processes that take turns.

    *with feeds*: as a Python program calls it, which converts inputs and outputs in each call.
    """
    run = _warm(network)
    runs = max(30, round(PROCESS_SECONDS / run.warm()))
    sample = folder / "sample"
    (array,) = run.feeds.values()
    array.tofile(sample)
    library = next((Path(ort.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    words = [str(program), str(library), str(network), str(sample), str(WARM_UP), str(runs), *map(str, array.shape)]
    taken = _in_turn(
        {
            "c": partial(_median_ms, words, scale=1e-6),
            **{how: partial(_median_ms, [sys.executable, __file__, how, str(network), str(runs)]) for how in HOW},
        },
        PROCESS_ROUNDS,
    )
    ratios = {how: _ratio(taken[how], taken["c"]) for how in HOW}
    return {"ratios": ratios, "runs": runs, "medians_ms": {name: values.tolist() for name, values in taken.items()}}


def _in_turn(takers: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Rows]:
    """Return what each gives in each round, all of them in another order every time."""
    random = np.random.default_rng(SEED)
    names = tuple(takers)
    taken = {name: np.empty(rounds) for name in names}
    for number in range(rounds):
        for position in random.permutation(len(names)):
            taken[names[position]][number] = takers[names[position]]()
    return taken


def _ratio(values: Rows, bare: Rows) -> dict[str, float]:
    """Return the median ratio of rounds with its 95 % interval."""
    found = ratio_interval([np.log(values / bare)], confidence=0.95)
    return {"low": found.low, "median": found.median, "high": found.high}


def _microseconds(loop: Callable[[], object]) -> float:
    """Return how long an inference of a whole loop takes, with all that it does between inferences."""
    began = time.perf_counter()
    loop()
    return (time.perf_counter() - began) / OVERHEAD_RUNS * 1e6


def _bound_call(run: interleaved.Run) -> Call:
    """Return the call that the runner makes."""
    make: Any = runner.caller  # it has no types, since it runs on Python 3.6 as well
    call: Call = make(run.session, run.feeds, {"provider": "CPUExecutionProvider"})
    return call


def _fed_call(run: interleaved.Run) -> Call:
    """Return the call that the gate makes."""
    return partial(run.session.run, None, run.feeds)


def _untimed(call: Call) -> None:
    """Call so often and do nothing else."""
    for _ in range(OVERHEAD_RUNS):
        call()


def _bare(call: Call, runs: int) -> Rows:
    """Return milliseconds of each inference, from a clock that is read once for each."""
    clock = time.perf_counter_ns
    stamps = [0] * (runs + 1)
    stamps[0] = clock()
    for number in range(1, runs + 1):
        call()
        stamps[number] = clock()
    return np.diff(stamps) / 1e6


def _runner(run: interleaved.Run, runs: int) -> Rows:
    """Return the samples of ``edgekd bench``."""
    loop: Any = runner.timed
    return np.asarray(loop(_bound_call(run), {"runs": runs, "seconds": 0})[0])


def _gate_samples(run: interleaved.Run, runs: int) -> Rows:
    """Return samples of ``edgekd gate``, each the mean of a group of inferences."""
    return np.array([run.milliseconds(runs // GROUPS) for _ in range(GROUPS)])


def _fed(run: interleaved.Run, runs: int) -> Rows:
    """Return milliseconds of each inference as Python programs call it."""
    return _bare(_fed_call(run), runs)


HOW: Final[Mapping[str, Loop]] = {"the runner's loop": _runner, "with feeds": _fed}


def _answer(how: str, network: Path, runs: int) -> None:
    """Print samples in milliseconds, as a process of its own."""
    print("\n".join(map(str, HOW[how](_warm(network), runs))))


def _warm(network: Path) -> interleaved.Run:
    """Return a network that is loaded and warm."""
    run = interleaved.Run(network.name, str(network), 1)
    run.milliseconds(WARM_UP)
    return run


def _network(folder: Path, layers: int, *, channels: int = CHANNELS, side: int = SIDE) -> Path:
    """Return a network of so many equal layers."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from slowed import equal_layers  # noqa: PLC0415 - it loads onnx, for which a process that only times does not wait

    return equal_layers(folder / f"{layers}.onnx", layers, channels=channels, side=side)


def _median(loop: Loop, run: interleaved.Run, runs: int) -> float:
    """Return the median of a loop's samples."""
    return float(np.median(loop(run, runs)))


def _median_ms(command: Sequence[str], *, scale: float = 1.0) -> float:
    """Return the median of the numbers that *command* prints, times *scale*."""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(np.median(np.array(said.split(), np.float64))) * scale


def _built(folder: Path) -> Path:
    """Return the C program, compiled."""
    program = folder / "harness_loop"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=c11", "-D_POSIX_C_SOURCE=200809L"]
    subprocess.run(["cc", *flags, "-o", str(program), str(C_SOURCE), "-ldl"], check=True)
    return program


if __name__ == "__main__":
    main()
