"""Whether a network is slower than one that was timed on this host before: both normalized by reference workloads."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from edgekd.bench.blocks import SAMPLE_SECONDS, Block, Request, Timed, expect_same_inputs, timed
from edgekd.bench.conditions import these_conditions
from edgekd.bench.gate import (
    LOOKS,
    Answer,
    GateSettings,
    agreed,
    answer_of,
    found_twice,
    more_pairs,
    until_sure,
)
from edgekd.bench.gate_samples import FORMAT, NETWORK, Samples, expect_same_host, expect_same_sums
from edgekd.bench.host import Host, this_host
from edgekd.bench.statistics import Interval, Rows, log_ratios, normalized_interval
from edgekd.core.digest import file_digest
from edgekd.core.disk import disk_errors

LARGEST_DRIFT: Final = 0.005
"""More than so much, and no number of samples makes 3 % sure."""


class StoredComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate's *blocks* beside the stored ones. *baseline_ms* was measured then, *candidate_ms* later.

    *drift*: by how much the reference workloads changed against each other in between, as a part.
    """

    answer: Answer
    ratio: Interval
    drift: float
    limit: float
    baseline_ms: float
    candidate_ms: float
    pairs: int
    blocks: tuple[Block, ...]


class StoredVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's answer against stored samples, the *reason* in a sentence, and what would settle it.

    A regression has been found twice, in sequences that share no sample of the candidate. *host* is that of both.
    """

    answer: Answer
    reason: str
    advice: str
    seconds: float
    settings: GateSettings
    comparisons: tuple[StoredComparison, ...]
    baseline_date: str
    baseline_network: str
    baseline_sha256: str
    host: Host


class Like(msgspec.Struct, frozen=True, kw_only=True):
    """The *samples* that new ones are to be compared with, and the *name* of their file."""

    samples: Samples
    name: str


def record(network: Path, settings: GateSettings, *, like: Like | None = None) -> Samples:
    """Return samples of the ONNX file *network* on this host, as many as a gate takes at most.

    How many inferences make a sample is that of *like*, or is taken from the fastest ones of a block that is thrown
    away: those are about the same however loaded the host is. Raises ConfigError where the file cannot be run, or not
    under the conditions of *like*.
    """
    with _beside_references(network, settings) as request:
        asked = {} if like is None else like.samples.blocks[0].inferences
        trial = timed(msgspec.structs.replace(request, inferences=asked))
        if like is not None:
            found = _samples(network, request, trial, [trial.block])
            expect_same(like.samples, found, names=(like.name, str(network)))
        fastest_s = {name: min(times) / 1e3 for name, times in trial.block.samples_ms.items()}
        chosen = {name: max(1, round(SAMPLE_SECONDS / seconds)) for name, seconds in fastest_s.items()}
        alike = msgspec.structs.replace(request, inferences=chosen | asked)
        blocks = [timed(_numbered(alike, number)).block for number in range(1, LOOKS[-1] + 1)]
        return _samples(network, request, trial, blocks)


def gate_against_samples(baseline: Samples, name: str, candidate: Path, settings: GateSettings) -> StoredVerdict:
    """Return whether the ONNX file *candidate* is slower than the samples of *baseline*, which lie in a file *name*.

    Raises ConfigError, before anything is compared, where host, runtime, threads, inputs or reference workloads are
    others, and where the candidate cannot be run.
    """
    began = time.monotonic()
    deadline = began + settings.max_seconds
    with _beside_references(candidate, settings) as unlike:
        request = msgspec.structs.replace(unlike, inferences=baseline.blocks[0].inferences)
        first = timed(request)
        expect_same(baseline, _samples(candidate, request, first, [first.block]), names=(name, str(candidate)))

        def compare_once(round_number: int) -> StoredComparison:
            return until_sure(
                lambda number: timed(_numbered(request, 1 + 1000 * round_number + number)).block,
                lambda blocks: judged(baseline.blocks, blocks, settings),
                deadline=deadline,
            )

        answer, found = found_twice(compare_once)
    return _verdict(answer, found, baseline, settings, seconds=time.monotonic() - began)


def judge_samples(
    baseline: Samples, candidate: Samples, settings: GateSettings, *, names: tuple[str, str]
) -> StoredVerdict:
    """Return whether the samples of *candidate* are slower than those of *baseline*; nothing is run.

    A regression must be found in each half of the candidate's blocks. *names*, of the files, are for the ConfigError
    where the two cannot be compared.
    """
    began = time.monotonic()
    expect_same(baseline, candidate, names=names)
    whole = judged(baseline.blocks, candidate.blocks, settings)
    halves = (candidate.blocks[::2], candidate.blocks[1::2]) if whole.answer == "regression" else ()
    found = (whole, *(judged(baseline.blocks, half, settings) for half in halves))
    return _verdict(agreed(found), found, baseline, settings, seconds=time.monotonic() - began)


def expect_same(baseline: Samples, candidate: Samples, *, names: tuple[str, str]) -> None:
    """Raise ConfigError where nothing can be said of two networks' samples, by what differs."""
    of = f"{names[0]} (of {baseline.network})"
    expect_same_inputs(baseline.inputs, candidate.inputs, names=(of, names[1]))
    expect_same_host(baseline, candidate, name=names[0])
    expect_same_sums(baseline, candidate, names=names)


def judged(before: Sequence[Block], after: Sequence[Block], settings: GateSettings) -> StoredComparison:
    """Return what the blocks of two sessions say."""
    base_ms, candidate_ms = (
        float(np.median(np.concatenate([block.samples_ms[NETWORK] for block in blocks]))) for blocks in (before, after)
    )
    sides = (_tables(before), _tables(after))
    found = normalized_interval(*sides, confidence=settings.confidence, seed=settings.seed)
    limit = 1 + max(settings.max_regression, settings.floor_ms / base_ms)
    return StoredComparison(
        answer=answer_of(found.ratio, limit),
        ratio=found.ratio,
        drift=found.drift,
        limit=limit,
        baseline_ms=base_ms,
        candidate_ms=candidate_ms,
        pairs=sum(len(block.samples_ms[NETWORK]) for block in after),
        blocks=tuple(after),
    )


@contextmanager
def _beside_references(network: Path, settings: GateSettings) -> Iterator[Request]:
    """Give the request for a block of *network* and the reference workloads, whose files are there meanwhile."""
    from edgekd.bench.reference import write_references  # noqa: PLC0415 - onnx is loaded only to run something

    with tempfile.TemporaryDirectory(prefix="edgekd-gate-") as folder, disk_errors(Path(folder)):
        references = {name: str(path) for name, path in write_references(Path(folder)).items()}
        yield Request(
            files={NETWORK: str(network)},
            references=references,
            threads=settings.threads,
            seconds=settings.block_seconds,
            seed=settings.seed,
        )


def _numbered(request: Request, number: int) -> Request:
    """Return the request for another block, whose runs have another order."""
    return msgspec.structs.replace(request, seed=request.seed + number)


def _samples(network: Path, request: Request, answer: Timed, blocks: Sequence[Block]) -> Samples:
    """Return *blocks* with what they hold for."""
    return Samples(
        format=FORMAT,
        date=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        network=network.name,
        network_sha256=file_digest(network),
        inputs=answer.inputs[NETWORK],
        references={name: file_digest(Path(path)) for name, path in request.references.items()},
        threads=request.threads,
        host=this_host(),
        conditions=these_conditions(),
        blocks=tuple(blocks),
    )


def _tables(blocks: Sequence[Block]) -> list[Rows]:
    """Return for each block the logarithms of the network's times over those of each reference, (n, references)."""
    return [
        np.stack(
            [
                log_ratios(block.samples_ms[NETWORK], times)
                for name, times in sorted(block.samples_ms.items())
                if name != NETWORK
            ],
            axis=1,
        )
        for block in blocks
    ]


def _verdict(
    answer: Answer, found: tuple[StoredComparison, ...], baseline: Samples, settings: GateSettings, *, seconds: float
) -> StoredVerdict:
    """Return the answer with what it rests on."""
    return StoredVerdict(
        answer=answer,
        reason=_reason(answer, found),
        advice=_advice(answer, found[-1]),
        seconds=seconds,
        settings=settings,
        comparisons=found,
        baseline_date=baseline.date,
        baseline_network=baseline.network,
        baseline_sha256=baseline.network_sha256,
        host=baseline.host,
    )


def _reason(answer: Answer, found: Sequence[StoredComparison]) -> str:
    """Return what was found, in a sentence."""
    last = found[-1]
    said = (
        f"over reference workloads the candidate takes {last.ratio.median:.3f} times as long as the baseline did "
        f"({last.ratio.low:.3f} to {last.ratio.high:.3f}; {last.pairs} rounds), and {last.limit:.3f} is allowed; "
        f"the workloads themselves drifted apart by {last.drift:.1%}"
    )
    if answer == "regression":
        return f"{said}; found twice"
    return (
        said if len(found) == 1 else f"{said}; a first look called it a regression, and the second did not confirm it"
    )


def _advice(answer: Answer, last: StoredComparison) -> str:
    """Return what would settle it: nothing where it is settled."""
    if answer != "inconclusive":
        return ""
    if last.drift > LARGEST_DRIFT:
        return "this host is loaded otherwise than it was: run it again later, or give the baseline as an ONNX file"
    return more_pairs(last.ratio, last.limit)
