"""Samples of one network over reference workloads, kept in a file, and whether two such files can be compared."""

from pathlib import Path
from typing import Final

import msgspec

from edgekd.bench.blocks import Block, Input
from edgekd.bench.conditions import Conditions
from edgekd.bench.host import Host
from edgekd.core.disk import write_atomically
from edgekd.core.errors import ConfigError

FORMAT: Final = 1
SUFFIX: Final = ".json"
NETWORK: Final = "network"
LEAST_BLOCKS: Final = 4
MOST_INFERENCES: Final = 100_000
"""A sample is a few milliseconds, and an inference never under a tenth of a microsecond."""

_HOW: Final = "make one with edgekd gate --baseline NETWORK.onnx --save FILE.json"


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """Blocks of *network* (a file's name) timed in turn with reference workloads, and what they hold for.

    *references*: the digest of each reference workload.
    """

    format: int
    date: str
    network: str
    network_sha256: str
    inputs: dict[str, Input]
    references: dict[str, str]
    threads: int
    host: Host
    conditions: Conditions
    blocks: tuple[Block, ...]

    @property
    def fingerprint(self) -> dict[str, str]:
        """Return what must be equal for two files to be compared."""
        return {
            **{name: str(value) for name, value in msgspec.structs.asdict(self.host).items()},
            "instruction set": self.conditions.instruction_set,
            "governors": ", ".join(self.conditions.governors),
            "power mode": self.conditions.power_mode,
            "threads": str(self.threads),
        }


def write_samples(path: Path, samples: Samples) -> None:
    """Write *samples* to *path*."""
    write_atomically(path, msgspec.json.encode(samples) + b"\n")


def read_samples(path: Path) -> Samples:
    """Return the samples in *path*. Raises ConfigError for another format, and for what no such file can hold."""
    try:
        data = path.read_bytes()
        made_by = msgspec.json.decode(data, type=_Format).format
        if made_by != FORMAT:
            message = f"{path}: format {made_by}, but this edgekd reads {FORMAT}; {_HOW}."
            raise ConfigError(message)
        samples = msgspec.json.decode(data, type=Samples)
    except msgspec.MsgspecError as error:
        message = f"{path}: no samples of edgekd gate ({error}); {_HOW}."
        raise ConfigError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); {_HOW}."
        raise ConfigError(message) from error
    if why := _malformed(samples):
        message = f"{path}: {why}; {_HOW}."
        raise ConfigError(message)
    return samples


def expect_same_host(baseline: Samples, candidate: Samples, *, name: str) -> None:
    """Raise ConfigError where the samples of the baseline called *name* were taken under other conditions."""
    other = candidate.fingerprint
    differing = [f"{key} {was!r}, now {other[key]!r}" for key, was in baseline.fingerprint.items() if was != other[key]]
    if differing:
        message = f"{name}: taken under other conditions ({'; '.join(differing)}); {_HOW} here."
        raise ConfigError(message)
    if baseline.references != candidate.references:
        message = f"{name}: taken with other reference workloads than those of this edgekd; {_HOW} with it."
        raise ConfigError(message)


def expect_same_sums(baseline: Samples, candidate: Samples, *, names: tuple[str, str]) -> None:
    """Raise ConfigError where a sample of the one, a mean of so many inferences in a row, is a mean of others.

    The longer a row, the more of it is interrupted on a host that is busy, and the less of it finds cold caches.
    """
    before, after = baseline.blocks[0].inferences, candidate.blocks[0].inferences
    other = [
        f"{workload} {after[workload]}, then {number}"
        for workload, number in before.items()
        if after[workload] != number
    ]
    if other:
        message = (
            f"{names[1]}: its samples sum other numbers of inferences than those of {names[0]} ({'; '.join(other)}); "
            f"save it again with --like {names[0]}, or give the network itself."
        )
        raise ConfigError(message)


class _Format(msgspec.Struct):
    """The part of the file that every format has."""

    format: int


def _malformed(samples: Samples) -> str:
    """Return what is wrong with *samples*, a clause; nothing where they can be judged."""
    if samples.threads < 1:
        return f"it says {samples.threads} threads"
    if len(samples.blocks) < LEAST_BLOCKS:
        return f"it holds {len(samples.blocks)} blocks of samples, and {LEAST_BLOCKS} are the least"
    if len(samples.references) < 2:  # noqa: PLR2004 - one alone cannot show that the host changed
        return "it names fewer than two reference workloads"
    found = (_malformed_block(block, samples) for block in samples.blocks)
    return next((f"its block {number} {why}" for number, why in enumerate(found, start=1) if why), "")


def _malformed_block(block: Block, samples: Samples) -> str:
    """Return what is wrong with one block."""
    expected = {NETWORK, *samples.references}
    if set(block.samples_ms) != expected or set(block.inferences) != expected:
        return f"is not of {', '.join(sorted(expected))}"
    if block.inferences != samples.blocks[0].inferences:
        return "sums other numbers of inferences than the first"
    if len(lengths := {len(times) for times in block.samples_ms.values()}) != 1 or lengths == {0}:
        return "has not the same number of samples of each workload"
    if not 1 <= min(block.inferences.values()) <= max(block.inferences.values()) <= MOST_INFERENCES:
        return f"sums numbers of inferences that are not from 1 to {MOST_INFERENCES}"
    if min(min(times) for times in block.samples_ms.values()) <= 0:
        return "holds a number that is not positive"
    return ""
