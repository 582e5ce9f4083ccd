"""What a phone tells of itself through its shell: processor, clocks, heat, and how busy it is."""

import re
from typing import Final

from edgekd.bench.connection import Device
from edgekd.bench.measurement import Machine
from edgekd.bench.runner import core_parts, count_cpus

_ASK: Final = r"""
say() { echo "== $1"; shift; "$@" 2>/dev/null; }
say soc getprop ro.soc.model
say board getprop ro.product.model
say android getprop ro.build.version.release
say machine uname -m
say cpuinfo cat /proc/cpuinfo
say present cat /sys/devices/system/cpu/present
say kernel uname -r
say thermal dumpsys thermalservice
say uptime cat /proc/uptime
say load cat /proc/loadavg
say stat cat /proc/stat
for core in /sys/devices/system/cpu/cpu[0-9]*; do
    say "fastest ${core##*/cpu}" cat "$core/cpufreq/cpuinfo_max_freq"
    say "clock ${core##*/cpu}" cat "$core/cpufreq/scaling_cur_freq"
    say "governor ${core##*/cpu}" cat "$core/cpufreq/scaling_governor"
done
for zone in /sys/class/thermal/thermal_zone*; do say "heat ${zone##*zone}" cat "$zone/temp"; done
"""
"""One script, so that the phone is asked once; it holds nothing of the user's."""


def read_phone(device: Device) -> tuple[Machine, tuple[int, ...]]:
    """Return what the phone is at the moment, and its cores, the fastest first."""
    said = _sections(device.run(("sh", "-c", _ASK)).decode(errors="replace"))
    fastest = {core: _number(text) for core, text in _numbered(said, "fastest")}
    heat = [_number(text) / 1e3 for _, text in _numbered(said, "heat") if text.lstrip("-").isdigit()]
    status = re.search(r"Thermal Status: (\d+)", said.get("thermal", ""))
    machine = Machine(
        machine=said.get("machine", ""),
        system=f"Android {said.get('android', '')}, Linux {said.get('kernel', '')}",
        cpu=f"{said.get('board', '')} ({said.get('soc', '')})",
        cores=len(fastest),
        python="",
        governors=tuple(sorted({text for _, text in _numbered(said, "governor") if text})),
        clocks_khz=tuple(_number(text) for _, text in _numbered(said, "clock") if text.isdigit()),
        temperatures_c=tuple(heat),
        throttled="",
        power_mode="",
        monotonic_s=float((said.get("uptime") or "0").split()[0]),
        load=float((said.get("load") or "0").split()[0]),
        busy_ticks=_busy_ticks(said.get("stat", "")),
        own_ticks=0,
        thermal_status=int(status[1]) if status else 0,
        core_parts=core_parts(said.get("cpuinfo", "")),  # type: ignore[no-untyped-call] # it runs on Python 3.6 too
        cpus_present=count_cpus(said.get("present", "")),  # type: ignore[no-untyped-call] # the same
    )
    return machine, tuple(sorted(fastest, key=lambda core: (-fastest[core], -core)))


def _sections(text: str) -> dict[str, str]:
    """Return what was said under each heading."""
    pieces = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)
    return {name: said.strip() for name, said in zip(pieces[1::2], pieces[2::2], strict=True)}


def _numbered(said: dict[str, str], name: str) -> list[tuple[int, str]]:
    """Return the sections called *name* and a number."""
    found = [(key.partition(" ")[2], text) for key, text in said.items() if key.partition(" ")[0] == name]
    return sorted((int(number), text) for number, text in found if number.isdigit())


def _number(text: str) -> int:
    """Return a whole number, 0 where it is none."""
    return int(text) if text.lstrip("-").isdigit() else 0


def _busy_ticks(text: str) -> int | None:
    """Return the ticks that all cores have worked, from /proc/stat; None where the phone does not show it."""
    words = text.splitlines()[0].split()[1:] if text.startswith("cpu ") else []
    ticks = [int(word) for word in words]
    return sum(ticks) - ticks[3] - ticks[4] if len(ticks) > 4 else None  # noqa: PLR2004 - idle and waiting
