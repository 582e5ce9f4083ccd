"""Latency of several files on this host, in interleaved runs so that drift hits all of them alike."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgekd.networks.session import Arrays, feeds_of, open_session


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Raw samples of one file, in milliseconds, in the order they were taken; summaries are derived."""

    threads: int
    warmup_runs: int
    samples_ms: tuple[float, ...]

    @property
    def runs(self) -> int:
        """Return the number of samples."""
        return len(self.samples_ms)

    @property
    def median_ms(self) -> float:
        """Return the median."""
        return float(np.median(self.samples_ms))

    @property
    def p95_ms(self) -> float:
        """Return the 95th percentile."""
        return float(np.percentile(self.samples_ms, 95))


def measure_latencies(
    files: Mapping[str, Path], sample: Arrays, *, threads: int, warmup_runs: int, runs: int
) -> dict[str, Latency]:
    """Return the latency of each file on *sample* (its inputs in order, batch included).

    After *warmup_runs* of all, one run of each file in turn makes a round, in another order every time; what
    slows the machine for a moment then slows no single file.
    """
    sessions = {name: open_session(path, threads=threads) for name, path in files.items()}
    feeds = {name: feeds_of(session, sample) for name, session in sessions.items()}
    for name, session in sessions.items():
        for _ in range(warmup_runs):
            session.run(None, feeds[name])
    samples: dict[str, list[float]] = {name: [] for name in files}
    for name in turns(tuple(files), runs):
        samples[name].append(_timed_ms(sessions[name], feeds[name]))
    return {
        name: Latency(threads=threads, warmup_runs=warmup_runs, samples_ms=tuple(values))
        for name, values in samples.items()
    }


def turns(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield every one of *names* once in each round, in another order every time and the same on every host."""
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for position in order.permutation(len(names)):
            yield names[position]


def _timed_ms(session: ort.InferenceSession, feed: dict[str, NDArray[np.float32]]) -> float:
    """Return how long one run takes, in milliseconds."""
    began = time.perf_counter_ns()
    session.run(None, feed)
    return (time.perf_counter_ns() - began) / 1e6
