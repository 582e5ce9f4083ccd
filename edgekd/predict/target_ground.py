"""What published points say about a target: prices for a cluster of its cores, or why there are none."""

from typing import get_args

import msgspec

from edgekd.predict.fitted import priced
from edgekd.predict.ground import Found, Processor, find
from edgekd.predict.layers import Precision
from edgekd.targets import Target, why_refused


def ground_of(target: Target, precision: Precision, threads: int, cluster: str) -> Found | str:
    """Return the prices that *threads* on *cluster* of *target* have by published points.

    Where no point is near enough, return why: a clause without a full stop.
    """
    if target.runtime.execution_provider != "CPUExecutionProvider":
        gpu = "" if target.device.gpu is None else f" ({target.device.gpu.name})"
        return (
            f"{target.runtime.name} runs on {target.runtime.execution_provider}{gpu}; the published points with known "
            "layers are of CPUs, so there is no ground for an estimate"
        )
    refused = why_refused(target, precision)
    if refused is not None:
        return f"{precision} is refused there: {refused}"
    if precision == "fp16" and target.precision.fp16.verdict != "fast":
        return (
            f"fp16 is {target.precision.fp16.verdict} there ({target.precision.fp16.why}), while the published fp16 "
            "points compute in half precision: no ground for an estimate"
        )
    clusters = target.device.clusters
    chosen = clusters[cluster]
    if threads > chosen.cores:
        return (
            f"{threads} threads asked, but its {chosen.core} cluster has {chosen.cores} core(s), and no point is of "
            f"threads that wait for each other: ask for at most {chosen.cores}"
        )
    fastest = max(one.clock_ghz for one in clusters.values())
    asked = Processor(
        soc=target.device.soc,
        core=chosen.core,
        clock_ghz=chosen.clock_ghz,
        is_little=chosen.clock_ghz < fastest,
        threads=threads,
        precision=precision,
    )
    found = find(asked, priced(precision))
    if found is None:
        return (
            f"no published point with {precision} and {threads} thread(s) is of {target.device.soc}, of its "
            f"{chosen.core} or of a core like it{_others(asked)}"
        )
    # A class has many boards: the points of one are those of a core of the family for the others.
    return msgspec.structs.replace(found, nearness="family") if is_class(target) else found


def is_class(target: Target) -> bool:
    """Tell whether *target* is a class of devices, of which its system on a chip is one."""
    return "stands for the class" in target.device.soc


def _others(asked: Processor) -> str:
    """Return which precisions there would be ground for, as words in brackets."""
    precisions: tuple[Precision, ...] = get_args(Precision)
    others = [one for one in precisions if find(msgspec.structs.replace(asked, precision=one), priced(one))]
    return f" (there are points with {' and '.join(others)})" if others else ""
