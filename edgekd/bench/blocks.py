"""One block of a comparison: what a fresh process is asked to time, and what it answers."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import msgspec

from edgekd.core.errors import ConfigError, StageError

SAMPLE_SECONDS: Final = 0.003
"""A sample sums as many inferences as take this long: the clock and the scheduler weigh less then."""


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """An input as it is timed: NumPy's name of its *type*, and its *shape*, with 1 where a size is open."""

    type: str
    shape: tuple[int, ...]


Inputs = Mapping[str, Input]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Files by name, how many *threads* run each, how long the timing may take, and where the order comes from.

    All *files* are run equally often for a sample, each of *references* as often as its own time asks for.
    *inferences* says how often for those that it names: samples of two sessions are alike only where that is equal.
    """

    files: dict[str, str]
    threads: int
    seconds: float
    seed: int
    references: dict[str, str] = {}
    inferences: dict[str, int] = {}


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of one inference, one number for each round and file: the mean of its *inferences* in a row."""

    inferences: dict[str, int]
    samples_ms: dict[str, list[float]]


class Timed(msgspec.Struct, frozen=True, kw_only=True, tag="timed"):
    """A block, and the inputs of each of the request's files by its name."""

    block: Block
    inputs: dict[str, dict[str, Input]]


class Failure(msgspec.Struct, frozen=True, kw_only=True, tag="failure"):
    """Why nothing was timed: the *file* by name, and a clause that says what is wrong with it."""

    file: str
    reason: str


_COMMAND: Final = (sys.executable, "-P", "-m", "edgekd.bench.interleaved")


def timed(request: Request) -> Timed:
    """Return what a fresh process answers. Raises ConfigError where a file cannot be run, StageError without answer."""
    done = subprocess.run(  # noqa: S603 - our own module; no name reaches a shell
        _COMMAND, input=msgspec.json.encode(request), capture_output=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason was given"]
        message = f"gate: the process that times ended with {done.returncode}: {said[0]}."
        raise StageError(message)
    answer = msgspec.json.decode(done.stdout, type=Timed | Failure)
    if isinstance(answer, Failure):
        message = f"{(request.files | request.references)[answer.file]}: {answer.reason}."
        raise ConfigError(message)
    return answer


def expect_same_inputs(baseline: Inputs, candidate: Inputs, *, names: tuple[str, str]) -> None:
    """Raise ConfigError where two networks, called *names*, do not take the same inputs: their times say nothing."""
    if dict(baseline) != dict(candidate):
        message = (
            f"{names[1]}: takes {_show(candidate)}, but the baseline {names[0]} takes {_show(baseline)}; "
            f"only networks with the same inputs are compared: give a baseline of this network."
        )
        raise ConfigError(message)


def _show(inputs: Inputs) -> str:
    """Return inputs as people write them."""
    shown = [f"'{name}' {one.type}[{','.join(map(str, one.shape))}]" for name, one in sorted(inputs.items())]
    return ", ".join(shown) or "no input"
