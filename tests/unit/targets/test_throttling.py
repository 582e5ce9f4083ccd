"""What tells a slowed device from one that was left alone: the patterns against outputs of real devices."""

import re

import pytest

from edgekd.targets import load_target

# In the form of jetson_clocks --show (github.com/rbonghi/jetson_stats jtop/core/jetson_clocks.py).
LOCKED = """SOC family:tegra194  Machine:Jetson
Online CPUs: 0-5
cpu0: Online=1 Governor=schedutil MinFreq=1420800 MaxFreq=1420800 CurrentFreq=1420800 IdleStates: C1=0 c6=0
cpu1: Online=1 Governor=schedutil MinFreq=1420800 MaxFreq=1420800 CurrentFreq=1420800 IdleStates: C1=0 c6=0
GPU MinFreq=1109250000 MaxFreq=1109250000 CurrentFreq=1109250000
EMC MinFreq=204000000 MaxFreq=1866000000 CurrentFreq=1866000000 FreqOverride=1
NV Power Mode: MODE_20W_6CORE"""

OUTPUTS = (
    ("raspberry-pi-5", "throttled=0x0", True),
    ("raspberry-pi-5", "throttled=0x50005", False),
    ("raspberry-pi-5", "throttled=0x80000", False),
    ("jetson-xavier-nx", LOCKED, True),
    ("jetson-xavier-nx", LOCKED.replace("CurrentFreq=1109250000", "CurrentFreq=510000000"), False),
    ("jetson-xavier-nx", LOCKED.replace("CurrentFreq=1420800", "CurrentFreq=14208000", 1), False),
    ("jetson-xavier-nx", "", False),
    ("android-armv9", "Thermal Status: 0", True),
    ("android-armv9", "Thermal Status: 2", False),
    ("rk3588", "0\n0\n0", True),
    ("rk3588", "0\n3\n0", False),
)


@pytest.mark.parametrize(("name", "output", "good"), OUTPUTS)
def test_the_pattern_matches_what_a_device_prints_that_nothing_slowed(name: str, output: str, good: bool) -> None:  # noqa: FBT001
    """All of the output must match; a clock below its maximum, a set bit or a status above 0 does not."""
    pattern = load_target(name).benchmark.throttle_check.unthrottled
    assert pattern is not None
    assert (re.fullmatch(pattern, output) is not None) is good


def test_a_counter_has_no_good_value() -> None:
    """Orin counts events since it started: only a count that grows means something, so there is no pattern."""
    assert load_target("jetson-agx-orin").benchmark.throttle_check.unthrottled is None
