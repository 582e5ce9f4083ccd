"""One block of a comparison, in a process of its own: a few files timed in turn, in another order every time.

Run as ``python -m edgekd.bench.interleaved`` with a request as JSON on the standard input; the answer is JSON on the
standard output. It loads nothing but numpy, msgspec and ONNX Runtime, so that a fresh process costs little.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgekd.bench.blocks import SAMPLE_SECONDS, Block, Failure, Input, Request, Timed

WARMUP_RUNS: Final = 50
WARMUP_SECONDS: Final = 0.2
LEAST_ROUNDS, MOST_ROUNDS = 8, 120
_QUIET: Final = 3
_TYPES: Final[Mapping[str, type[np.generic]]] = {
    "tensor(bool)": np.bool_,
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(uint8)": np.uint8,
}


class _FileError(Exception):
    """What is wrong with one file."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def measure(request: Request) -> Timed:
    """Return one block. Raises where a file cannot be loaded or run."""
    random = np.random.default_rng(request.seed)
    runs = {name: Run(name, path, request.threads) for name, path in (request.files | request.references).items()}
    seconds = {name: run.warm() for name, run in runs.items()}
    slowest = max(seconds[name] for name in request.files)
    pace = {name: slowest if name in request.files else own for name, own in seconds.items()}
    inferences = {name: max(1, round(SAMPLE_SECONDS / pace[name])) for name in runs} | request.inferences
    a_round = sum(pace[name] * inferences[name] for name in runs)
    rounds = int(np.clip(request.seconds / a_round, LEAST_ROUNDS, MOST_ROUNDS))
    names = tuple(runs)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for position in random.permutation(len(names)):
            name = names[position]
            samples[name].append(runs[name].milliseconds(inferences[name]))
    return Timed(
        block=Block(inferences=inferences, samples_ms=samples),
        inputs={name: runs[name].inputs for name in request.files},
    )


class Run:
    """One file, loaded, with numbers to run it on: zeros of its shapes, 1 where a size is open."""

    def __init__(self, name: str, path: str, threads: int) -> None:
        """Load the file."""
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = _QUIET
        try:
            self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.feeds = {given.name: _example(given) for given in self.session.get_inputs()}
            self.session.run(None, self.feeds)
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types from its native code
            reason = f"ONNX Runtime {ort.__version__} cannot run it: {str(error).strip().splitlines()[0]}"
            raise _FileError(Failure(file=name, reason=reason)) from error

    @property
    def inputs(self) -> dict[str, Input]:
        """Return the inputs as they are timed."""
        return {name: Input(type=array.dtype.name, shape=array.shape) for name, array in self.feeds.items()}

    def warm(self) -> float:
        """Run until it is warm, and return about how many seconds one inference takes: the median of the last runs."""
        taken: list[float] = []
        began = time.perf_counter()
        while len(taken) < WARMUP_RUNS and (len(taken) < 2 or time.perf_counter() - began < WARMUP_SECONDS):  # noqa: PLR2004 - the first is cold
            taken.append(self.milliseconds(1) / 1e3)
        return float(np.median(taken[len(taken) // 2 :]))

    def milliseconds(self, inferences: int) -> float:
        """Return how long one of so many *inferences* in a row takes."""
        run, feeds = self.session.run, self.feeds
        began = time.perf_counter_ns()
        for _ in range(inferences):
            run(None, feeds)
        return (time.perf_counter_ns() - began) / 1e6 / inferences


def _example(given: Any) -> NDArray[np.generic]:  # noqa: ANN401 - ONNX Runtime has no types
    """Return numbers of one input's type and shape; what they are does not change how long a network takes."""
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in given.shape]
    kind = _TYPES.get(given.type)
    if kind is None:
        message = f"its input '{given.name}' is of type {given.type}"
        raise TypeError(message)
    if np.issubdtype(kind, np.floating):
        return np.random.default_rng(0).standard_normal(shape).astype(kind)
    return np.zeros(shape, kind)


def main() -> None:
    """Answer one request."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    try:
        answer: Timed | Failure = measure(request)
    except _FileError as error:
        answer = error.failure
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
