"""How a target says it is measured: the rest before, and the check whether it throttled."""

import re
import time
from pathlib import Path

import msgspec

from edgekd.bench.connection import Device
from edgekd.bench.device_errors import DeviceError, UnreachableError
from edgekd.bench.inputs import form_of
from edgekd.bench.request import TENSORRT, Request
from edgekd.targets import Device as TargetDevice
from edgekd.targets import Target


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of a target. *prepare* is shown and never run: it wants root. *check* is run where it does not."""

    name: str
    of: TargetDevice
    prepare: str
    check: str | None
    unthrottled: str | None
    cool_down_s: float


def protocol_of(target: Target) -> Protocol:
    """Return the protocol of *target*."""
    check = target.benchmark.throttle_check
    return Protocol(
        name=target.name,
        of=target.device,
        prepare=target.benchmark.prepare_command,
        check=None if re.search(r"\bsudo\b", check.command) else check.command,
        unthrottled=check.unthrottled,
        cool_down_s=target.benchmark.cool_down_s,
    )


def with_flags(request: Request, target: Target | None, model: Path) -> Request:
    """Return *request* with the flags by which the target builds an engine of the model's precision."""
    flags = None if target is None else target.benchmark.flags
    if request.provider != TENSORRT or flags is None:
        return request
    return msgspec.structs.replace(request, flags=tuple(getattr(flags, form_of(model).precision).split()))


def rest(protocol: Protocol | None) -> None:
    """Let the device cool down as its target says."""
    if protocol is not None:
        time.sleep(protocol.cool_down_s)


def checked(device: Device, protocol: Protocol | None) -> str:
    """Return what the target's throttle check prints at the moment, nothing where there is none to run."""
    if protocol is None or protocol.check is None:
        return ""
    try:
        return device.run(("sh", "-c", f"{protocol.check}\ntrue")).decode(errors="replace").strip()
    except UnreachableError:
        raise
    except DeviceError:
        return ""  # what the board does not have says nothing about it


def throttled_between(before: str, after: str, protocol: Protocol | None) -> str | None:
    """Return how the check tells of throttling between the two, a clause, or None."""
    if protocol is None or before == after:
        return None
    if protocol.unthrottled is not None and re.fullmatch(protocol.unthrottled, after):
        return None
    return f"{protocol.name}'s check ({protocol.check}) said {before!r} before and {after!r} after"
