"""Whether the machine that measured is the target's device: what it shows of itself against the target's facts.

What cannot be told is not claimed. A clause says why.
"""

import re
from collections.abc import Callable
from typing import Final, Protocol

from edgekd.bench.measurement import Machine
from edgekd.targets import Device, Identity, core_name


class Shown(Protocol):
    """A run: the machine as it showed itself before, and the cores that it was kept on."""

    @property
    def before(self) -> Machine:
        """Return the machine."""

    @property
    def cores(self) -> tuple[int, ...] | None:
        """Return the cores' numbers, None where nothing was fixed."""


def why_not(device: Device, run: Shown) -> str | None:
    """Return why the machine of *run* is not shown to be *device*, a clause, or None where it is."""
    shown = run.before
    if shown.machine != device.architecture:
        return f"its processor is {shown.machine}, and the target's {device.architecture}"
    if device.identity is None:
        return "the target's file does not say how its device is recognised; add [device.identity] to it"
    found = (check(device, device.identity, run) for check in _CHECKS)
    return next((reason for reason in found if reason is not None), None)


def _system(_device: Device, identity: Identity, run: Shown) -> str | None:
    """Return that another system runs there, where the target names one."""
    system = run.before.system
    if identity.system is None or re.match(rf"{identity.system}\b", system):
        return None
    return f"its system says {system}, and the target runs {identity.system}"


def _board(device: Device, identity: Identity, run: Shown) -> str | None:
    """Return that it is another board, or that this cannot be told, where the target is a board."""
    names, present = run.before.board, run.before.cpus_present
    if identity.device_tree is None:
        return None
    if not names:
        return "no device tree there says which board it is (a container hides it: measure outside)"
    if not any(re.fullmatch(pattern, name) for pattern in identity.device_tree for name in names):
        return f"its device tree says {', '.join(names)}, and the target's {' or '.join(identity.device_tree)}"
    if present is None:
        return "how many CPUs it has cannot be told"
    if present != device.cpus:
        return f"it has {present} CPUs, and the target {device.cpus}"
    return None


def _cores(_device: Device, identity: Identity, run: Shown) -> str | None:
    """Return that it ran on, or has beside those, cores that the target's class does not have."""
    parts = run.before.core_parts
    if identity.cores is None:
        return None
    if not parts:
        return "/proc/cpuinfo there does not say which cores it has"
    ran_on = sorted(parts) if run.cores is None else run.cores
    for cpu in sorted({*parts, *ran_on}):
        core = _named(parts.get(cpu))
        if cpu in ran_on and core not in identity.cores:
            return f"CPU {cpu}, on which it ran, is {core}, and the target's are {' or '.join(identity.cores)}"
        if core not in (*identity.cores, *identity.beside):
            others = ", ".join((*identity.cores, *identity.beside))
            return f"CPU {cpu} is {core}, and such devices have {others}"
    return None


def _named(part: str | None) -> str:
    """Return the name of a core, or its numbers where edgekd has no name for them."""
    if part is None:
        return "of a kind that cannot be told"
    implementer, number = (int(word, 16) for word in part.split())
    return core_name(implementer, number) or f"of an unknown kind ({part})"


_CHECKS: Final[tuple[Callable[[Device, Identity, Shown], str | None], ...]] = (_system, _board, _cores)
