"""How a target says it is measured: the rest before, and the check whether it throttled."""

import re
import time
from pathlib import Path
from typing import Final

import msgspec

from edgekd.bench.connection import Device
from edgekd.bench.device_errors import DeviceError, UnreachableError
from edgekd.bench.inputs import form_of
from edgekd.bench.request import TENSORRT, Request
from edgekd.targets import Device as TargetDevice
from edgekd.targets import Target

_RANK_OF_IMAGES: Final = 4
_COLOURS: Final = frozenset({3, 4})
_DTYPES: Final = frozenset({"float16", "float32", "float64", "uint8"})
"""Of images, sound and sensors; other integers are indices, which have no other form."""


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of a target. *prepare* is shown and never run: it wants root. *check* is run where it does not."""

    name: str
    of: TargetDevice
    input_dtype: str
    input_layout: str
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
        input_dtype=target.runtime.input_dtype,
        input_layout=target.runtime.input_layout,
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


def unlike_inputs(model: Path, protocol: Protocol | None) -> tuple[str, ...]:
    """Return a clause for each input of the ONNX file *model* that is not as the target's runtime prefers it.

    The layout of an image is told by where its three or four colours are; where that is not clear, nothing is said.
    """
    if protocol is None:
        return ()
    said = []
    for name, (dtype, sizes) in form_of(model).inputs.items():
        if dtype in _DTYPES - {protocol.input_dtype}:
            said.append(f"its input '{name}' is {dtype}, and {protocol.name} prefers {protocol.input_dtype}")
        layout = _layout(sizes)
        if layout not in {None, protocol.input_layout}:
            written = "x".join(str(size or "?") for size in sizes)
            said.append(
                f"its input '{name}' ({written}) is {layout}, and {protocol.name} prefers {protocol.input_layout}"
            )
    return tuple(said)


def _layout(sizes: tuple[int, ...]) -> str | None:
    """Return the layout of an image of *sizes*, 0 for an open one; None for what is no image or could be either."""
    if len(sizes) != _RANK_OF_IMAGES:
        return None
    for layout, colours, sides in (("NCHW", sizes[1], sizes[2:]), ("NHWC", sizes[3], sizes[1:3])):
        if colours in _COLOURS and all(side == 0 or side > max(_COLOURS) for side in sides):
            return layout
    return None


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
