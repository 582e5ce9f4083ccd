"""What a target can ship, with the reason where it cannot, and the commands to run there."""

import shlex
from typing import Literal, get_args

from edgekd.core.errors import ConfigError
from edgekd.core.strict import suggestion
from edgekd.targets.cpus import cpu_mask
from edgekd.targets.facts import PrecisionName, Target, Verdict

AskedPrecision = Literal["auto", "fp32", "fp16", "int8"]


def why_refused(target: Target, precision: PrecisionName) -> str | None:
    """Return why *target* cannot ship *precision*, a clause without a full stop, or None where it can."""
    verdict = _verdict(target, precision)
    return verdict.why if verdict.verdict == "refused" else None


def refusal(target: Target, precision: PrecisionName) -> str | None:
    """Return one sentence for somebody who asked *target* for a *precision* that it cannot ship, or None."""
    why = why_refused(target, precision)
    if why is None:
        return None
    return f'{target.name}: {precision.upper()} asked, but {why}; use precision = "{target.precision.default}".'


def shipped_precision(target: Target, asked: AskedPrecision) -> PrecisionName:
    """Return the precision of the file that ships: *asked*, or the target's default for ``auto``.

    Raises ConfigError with the refusal where the target cannot run it.
    """
    if asked == "auto":
        return target.precision.default
    reason = refusal(target, asked)
    if reason is not None:
        raise ConfigError(reason)
    return asked


def exported_precisions(target: Target) -> tuple[PrecisionName, ...]:
    """Return the precisions whose files a bundle for *target* holds: all that are not refused."""
    names: tuple[PrecisionName, ...] = get_args(PrecisionName)
    return tuple(name for name in names if _verdict(target, name).verdict != "refused")


def build_command(target: Target, *, model: str, precision: PrecisionName) -> str | None:
    """Return the shell line that builds an engine from *model* on the device, or None if none is needed."""
    command, flags = target.benchmark.build_command, target.benchmark.flags
    if command is None:
        return None
    chosen = getattr(flags, precision) if flags is not None else ""
    line = " ".join(command.replace("{flags}", chosen).split())
    return line.replace("{model}", shlex.quote(model))


def time_command(target: Target, *, model: str) -> str:
    """Return the shell line that measures the file *model* (or the engine built from it) on the device."""
    benchmark = target.benchmark
    words = {
        "threads": str(benchmark.threads),
        "runs": str(benchmark.runs),
        "mask": cpu_mask(target.cluster.cpus),
        "model": shlex.quote(model),  # last: it may hold braces itself
    }
    line = benchmark.time_command
    for word, value in words.items():
        line = line.replace(f"{{{word}}}", value)
    return line


def _verdict(target: Target, precision: PrecisionName) -> Verdict:
    """Return how *precision* fares; ConfigError for a word that is none."""
    names = get_args(PrecisionName)
    if precision not in names:
        message = f"precision: {precision!r} given; {suggestion(precision, ('auto', *names))}"
        raise ConfigError(message)
    verdict: Verdict = getattr(target.precision, precision)
    return verdict
