"""Whether one file is slower than another on this host: pass, regression, or inconclusive.

Both run in turn in fresh processes, so that what slows the machine slows both. The baseline runs a second time as a
control: where it differs from itself, the host is too unsteady to say anything.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Protocol, TypeVar

import msgspec
import numpy as np

from edgekd.bench.blocks import Block, Request, expect_same_inputs, timed
from edgekd.bench.host import Host, this_host
from edgekd.bench.statistics import Interval, Rows, log_ratios, ratio_interval

Answer = Literal["pass", "regression", "inconclusive"]

EXIT_CODES: Final[Mapping[Answer, int]] = MappingProxyType({"pass": 0, "regression": 1, "inconclusive": 4})

BASELINE, CANDIDATE, CONTROL = "baseline", "candidate", "control"
LOOKS: Final = (4, 6, 9, 14, 20)
"""After so many blocks it is asked whether the answer is sure. Looking often makes errors likelier: hence the high
confidence of each look."""

LARGEST_CONTROL: Final = 0.01
"""By how much the baseline may differ from itself, as a part."""

QUIETER: Final = "run it again on a host that does nothing else"


class GateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as a regression, and how long to look for one.

    A slowdown up to *max_regression* (a part) or up to *floor_ms* is allowed. *confidence* is that of each look.
    """

    max_regression: float = 0.03
    floor_ms: float = 0.0
    threads: int = 1
    confidence: float = 0.995
    block_seconds: float = 0.4
    max_seconds: float = 60.0
    seed: int = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One sequence of blocks: what was found when it stopped. *ratio* is candidate over baseline."""

    answer: Answer
    ratio: Interval
    control: Interval
    limit: float
    baseline_ms: float
    candidate_ms: float
    pairs: int
    blocks: tuple[Block, ...]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's answer, the *reason* in a sentence, what would settle it, and everything it rests on.

    A regression has been found twice, in two sequences that share no sample.
    """

    answer: Answer
    reason: str
    advice: str
    seconds: float
    settings: GateSettings
    comparisons: tuple[Comparison, ...]
    host: Host


def gate(baseline: Path, candidate: Path, settings: GateSettings) -> Verdict:
    """Return whether *candidate* is slower than *baseline*, two ONNX files, by more than *settings* allow.

    Raises ConfigError where a file cannot be run or their inputs differ, StageError where a process ends without an
    answer.
    """
    began = time.monotonic()
    deadline = began + settings.max_seconds
    answer, found = found_twice(
        lambda number: compare(baseline, candidate, settings, deadline=deadline, round_number=number)
    )
    return Verdict(
        answer=answer,
        reason=_reason(answer, found),
        advice=_advice(answer, found[-1]),
        seconds=time.monotonic() - began,
        settings=settings,
        comparisons=found,
        host=this_host(),
    )


def compare(
    baseline: Path, candidate: Path, settings: GateSettings, *, deadline: float, round_number: int
) -> Comparison:
    """Return what one sequence of blocks says."""
    files = {BASELINE: str(baseline), CANDIDATE: str(candidate), CONTROL: str(baseline)}

    def take(number: int) -> Block:
        seed = settings.seed + 1000 * round_number + number
        found = timed(Request(files=files, threads=settings.threads, seconds=settings.block_seconds, seed=seed))
        expect_same_inputs(found.inputs[BASELINE], found.inputs[CANDIDATE], names=(str(baseline), str(candidate)))
        return found.block

    return until_sure(take, lambda blocks: judged(blocks, settings), deadline=deadline)


class Answered(Protocol):
    """Anything with an answer."""

    @property
    def answer(self) -> Answer:
        """Return it."""


Found = TypeVar("Found", bound=Answered)


def until_sure(take: Callable[[int], Block], judge: Callable[[Sequence[Block]], Found], *, deadline: float) -> Found:
    """Return the first sure answer to blocks taken in a row, or that none was found by the last look or *deadline*.

    As many as the first look needs are taken in any case.
    """
    blocks = [take(number) for number in range(LOOKS[0])]
    current = judge(blocks)
    for looks_at in LOOKS[1:]:
        if current.answer != "inconclusive" or time.monotonic() >= deadline:
            break
        while len(blocks) < looks_at and time.monotonic() < deadline:
            blocks.append(take(len(blocks)))
        current = judge(blocks)
    return current


def found_twice(compare_once: Callable[[int], Found]) -> tuple[Answer, tuple[Found, ...]]:
    """Return the answer of a comparison, which is made a second time where the first one calls it a regression."""
    first = compare_once(0)
    found = (first, compare_once(1)) if first.answer == "regression" else (first,)
    return agreed(found), found


def agreed(found: Sequence[Answered]) -> Answer:
    """Return the answer that all of *found* give; where they do not agree, nothing is sure."""
    answers = {one.answer for one in found}
    return answers.pop() if len(answers) == 1 else "inconclusive"


def judged(blocks: Sequence[Block], settings: GateSettings) -> Comparison:
    """Return what *blocks* say."""
    times = {name: np.concatenate([b.samples_ms[name] for b in blocks]) for name in (BASELINE, CANDIDATE)}
    base_ms = float(np.median(times[BASELINE]))
    ratio = ratio_interval(_logs(blocks, CANDIDATE), confidence=settings.confidence, seed=settings.seed)
    control = ratio_interval(_logs(blocks, CONTROL), confidence=settings.confidence, seed=settings.seed)
    limit = 1 + max(settings.max_regression, settings.floor_ms / base_ms)
    return Comparison(
        answer=_answer(ratio, control, limit),
        ratio=ratio,
        control=control,
        limit=limit,
        baseline_ms=base_ms,
        candidate_ms=float(np.median(times[CANDIDATE])),
        pairs=len(times[BASELINE]),
        blocks=tuple(blocks),
    )


def _answer(ratio: Interval, control: Interval, limit: float) -> Answer:
    """Return the answer that an interval allows.

    Where the control says that the baseline differs from itself, there is none.
    """
    return "inconclusive" if abs(control.median - 1) > LARGEST_CONTROL else answer_of(ratio, limit)


def answer_of(ratio: Interval, limit: float) -> Answer:
    """Return a regression for an interval wholly above the limit, a pass for one wholly below it."""
    if ratio.low > limit:
        return "regression"
    return "pass" if ratio.high < limit else "inconclusive"


def _logs(blocks: Sequence[Block], name: str) -> list[Rows]:
    """Return the logarithms of the ratios of file *name* to the baseline, by block."""
    return [log_ratios(block.samples_ms[name], block.samples_ms[BASELINE]) for block in blocks]


def _reason(answer: Answer, found: Sequence[Comparison]) -> str:
    """Return what was found, in a sentence."""
    last = found[-1]
    said = (
        f"the candidate takes {last.ratio.median:.3f} times as long as the baseline "
        f"({last.ratio.low:.3f} to {last.ratio.high:.3f}; {last.pairs} pairs), and {last.limit:.3f} is allowed"
    )
    if answer == "regression":
        return f"{said}; found twice"
    if len(found) > 1:
        return f"{said}; a first run called it a regression, and the second did not confirm it"
    if abs(last.control.median - 1) > LARGEST_CONTROL:
        return f"the baseline takes {last.control.median:.3f} times as long as itself: this host is too unsteady"
    return said


def _advice(answer: Answer, last: Comparison) -> str:
    """Return what would settle it: nothing where it is settled."""
    if answer != "inconclusive":
        return ""
    if abs(last.control.median - 1) > LARGEST_CONTROL:
        return QUIETER
    return more_pairs(last.ratio, last.limit)


def more_pairs(ratio: Interval, limit: float) -> str:
    """Return what would narrow an interval so far that it leaves out the limit."""
    distance = abs(np.log(ratio.median / limit))
    width = np.log(ratio.high / ratio.low) / 2
    more = (width / max(distance, 1e-6)) ** 2
    if more <= 1:
        return QUIETER
    if more > LOOKS[-1]:
        return "the difference is at the limit itself: choose a limit further from it, or count instructions"
    return f"about {more:.1f} times as many pairs (a longer --max-seconds), or a quieter host"
