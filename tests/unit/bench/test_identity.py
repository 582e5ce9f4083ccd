"""Laws of what makes a measurement a target's: the machine has shown that it is that device, or it is not claimed."""

import re

import msgspec
import pytest

from edgekd.bench.identity import why_not
from edgekd.bench.measurement import Machine, Run
from edgekd.bench.runner import board, core_parts, count_cpus
from edgekd.targets import load_target, target_names

PIS = {
    "raspberry-pi-3": ("raspberrypi,3-model-b-plus", "brcm,bcm2837", "Raspberry Pi 3 Model B Plus Rev 1.3"),
    "raspberry-pi-4": ("raspberrypi,4-model-b", "brcm,bcm2711", "Raspberry Pi 4 Model B Rev 1.5"),
    "raspberry-pi-5": ("raspberrypi,5-model-b", "brcm,bcm2712", "Raspberry Pi 5 Model B Rev 1.0"),
    "raspberry-pi-zero-2-w": ("raspberrypi,model-zero-2-w", "brcm,bcm2837", "Raspberry Pi Zero 2 W Rev 1.0"),
}
BOARDS = PIS | {
    "rk3588": ("xunlong,orangepi-5-plus", "rockchip,rk3588", "Xunlong Orange Pi 5 Plus"),
    "jetson-nano": ("nvidia,p3449-0000-b00+p3448-0000-b00", "nvidia,jetson-nano", "nvidia,tegra210"),
    "jetson-tx2": ("nvidia,p2597-0000+p3310-1000", "nvidia,tegra186", "quill"),
    "jetson-xavier-nx": ("nvidia,p3449-0000+p3668-0001", "nvidia,p3509-0000+p3668-0001", "nvidia,tegra194"),
    "jetson-agx-xavier": ("nvidia,galen", "nvidia,jetson-xavier", "nvidia,p2822-0000+p2888-0001", "nvidia,tegra194"),
    "jetson-orin-nano": ("nvidia,p3768-0000+p3767-0003-super", "nvidia,p3767-0003", "nvidia,tegra234"),
    "jetson-orin-nx": ("nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234"),
    "jetson-agx-orin": ("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234", "nvidia,tegra23x"),
}
"""What each board's device tree says, as its owners have posted it (the sources of device.identity name where)."""

A53, A55, A75, A76, A77, X1 = "0x41 0xd03", "0x41 0xd05", "0x51 0x802", "0x51 0x804", "0x41 0xd0d", "0x41 0xd44"


def run_on(*, cores: tuple[int, ...] | None = None, **shown: object) -> Run:
    """Return a run on a machine that shows *shown* of itself."""
    known = {
        "machine": "aarch64", "system": "Linux 6.6", "cpu": "?", "cores": 4, "python": "3.11", "governors": [],
        "clocks_khz": [], "temperatures_c": [], "throttled": "", "power_mode": "", "monotonic_s": 0.0, "load": 0.0,
        "busy_ticks": None, "own_ticks": 0,
    }  # fmt: skip
    machine = msgspec.convert(known | shown, Machine)
    return Run(
        runtime="onnxruntime", version="1.32.0", before=machine, after=machine, load_ms=1.0, first_ms=1.0,
        warmup_ms=(), samples_ms=(1.0,), started_ms=(0.0,), providers=("CPUExecutionProvider",),
        peak_memory_bytes=None, inputs={}, cores=cores,
    )  # fmt: skip


def judged(target: str, run: Run) -> str | None:
    """Return why *run* is not called the bundled *target*'s."""
    return why_not(load_target(target).device, run)


@pytest.mark.parametrize("target", BOARDS)
def test_a_board_is_its_own_target_and_no_other(target: str) -> None:
    """Of all bundled targets exactly one recognises what a board shows of itself."""
    cpus = load_target(target).device.cpus
    run = run_on(board=BOARDS[target], cpus_present=cpus)
    assert [name for name in target_names() if judged(name, run) is None] == [target]


def test_the_architecture_alone_makes_no_raspberry_pi() -> None:
    """An ARM machine whose device tree says nothing, as in a container, could be any: that is said."""
    assert "no device tree there says which board it is" in str(judged("raspberry-pi-4", run_on(cpus_present=4)))


def test_in_a_container_the_kernels_own_line_is_enough() -> None:
    """Raspberry Pi OS repeats the model in /proc/cpuinfo, which containers show."""
    run = run_on(board=["Raspberry Pi 4 Model B Rev 1.5"], cpus_present=4)
    assert judged("raspberry-pi-4", run) is None
    assert "its device tree says Raspberry Pi 4 Model B Rev 1.5" in str(judged("raspberry-pi-5", run))


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("raspberry-pi-4", ("raspberrypi,4-compute-module", "brcm,bcm2711", "Raspberry Pi Compute Module 4 Rev 1.0")),
        ("rk3588", ("xunlong,orangepi-5", "rockchip,rk3588s")),
        ("jetson-nano", ("nvidia,p3542-0000+p3448-0003", "nvidia,jetson-nano-2gb", "nvidia,jetson-nano")),
        ("jetson-nano", ("nvidia,p3541-0000", "nvidia,p3450-0000", "nvidia,tegra210")),
        ("jetson-tx2", ("nvidia,p2597-0000+p3489-0888", "nvidia,tegra186")),
        ("jetson-orin-nano", ("nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234")),
        ("jetson-orin-nano", ("nvidia,p3768-0000+p3767-0004-super", "nvidia,p3767-0004", "nvidia,tegra234")),
        ("jetson-agx-orin", ("nvidia,p3737-0000+p3701-0000", "nvidia,p3701-0000", "nvidia,tegra234")),
    ],
)
def test_a_relative_with_the_same_chip_is_another_device(target: str, names: tuple[str, ...]) -> None:
    """A compute module, the chip's smaller version, a module of half the memory, a board with lower clocks."""
    run = run_on(board=names, cpus_present=load_target(target).device.cpus)
    assert str(judged(target, run)).startswith(f"its device tree says {names[0]}")


@pytest.mark.parametrize(("present", "reason"), [(6, "it has 6 CPUs, and the target 8"), (None, "cannot be told")])
def test_a_module_with_fewer_cpus_is_another_device(present: int | None, reason: str) -> None:
    """Boards of one name come with modules of 8 and of 6 CPUs; CPUs that a power mode has put to rest are counted."""
    assert reason in str(judged("jetson-agx-xavier", run_on(board=["nvidia,p2972-0000"], cpus_present=present)))


def phone(parts: dict[int, str], cores: tuple[int, ...] | None) -> Run:
    """Return a run on *cores* of a phone."""
    return run_on(system="Android 14, Linux 5.10", core_parts=parts, cores=cores, cpus_present=len(parts))


SNAPDRAGON_855 = dict.fromkeys(range(4), "0x51 0x805") | dict.fromkeys(range(4, 8), A76)
PIXEL_6 = dict.fromkeys(range(4), A55) | {4: "0x41 0xd0b", 5: "0x41 0xd0b", 6: X1, 7: X1}


@pytest.mark.parametrize(
    ("target", "parts", "cores", "reason"),
    [
        ("android-a76", SNAPDRAGON_855, (4, 5, 6), None),
        ("android-a76", PIXEL_6, (4, 5), None),
        ("android-a76", PIXEL_6, (4, 5, 6), "CPU 6, on which it ran, is Cortex-X1"),
        ("android-a76", SNAPDRAGON_855, (0, 1), "CPU 0, on which it ran, is Cortex-A55"),
        ("android-a76", SNAPDRAGON_855, None, "CPU 0, on which it ran, is Cortex-A55"),
        ("android-a76", {0: A55, 1: A77}, (1,), None),
        ("android-a76", {0: A55, 1: A75}, (1,), "CPU 1, on which it ran, is Cortex-A75"),
        ("android-a75", {0: "0x51 0x801", 1: "0x51 0x800"}, (1,), None),
        ("android-a76", {0: "0x53 0x003", 1: A76}, (1,), "CPU 0 is of an unknown kind (0x53 0x003)"),
        ("android-a76", {1: A76}, (0,), "CPU 0, on which it ran, is of a kind that cannot be told"),
        ("android-a76", {}, (0,), "/proc/cpuinfo there does not say which cores it has"),
        ("android-a53", dict.fromkeys(range(4), A53), None, None),
        ("android-a53", {0: A53, 1: "0x51 0x800"}, (0,), "CPU 1 is Cortex-A73, and such devices have Cortex-A53"),
        ("android-armv9", {0: "0x41 0xd46", 1: "0x41 0xd47", 2: "0x41 0xd48"}, (1,), None),
    ],
)
def test_a_class_of_phones_is_the_cores_that_were_measured(
    target: str, parts: dict[int, str], cores: tuple[int, ...] | None, reason: str | None
) -> None:
    """By the part numbers of /proc/cpuinfo: those it ran on are of the class, those beside them are such as it has."""
    found = judged(target, phone(parts, cores))
    assert found is reason if reason is None else reason in str(found)


def test_a_board_with_a_phones_cores_is_no_phone() -> None:
    """A Raspberry Pi 5 has four Cortex-A76, and no Android."""
    run = run_on(board=PIS["raspberry-pi-5"], cpus_present=4, core_parts=dict.fromkeys(range(4), "0x41 0xd0b"))
    assert judged("android-a76", run) == "its system says Linux 6.6, and the target runs Android"


def test_every_x86_host_is_of_its_class() -> None:
    """The architecture and the system are enough."""
    assert judged("x86-64", run_on(machine="x86_64")) is None
    assert judged("x86-64", run_on()) == "its processor is aarch64, and the target's x86_64"


def test_every_bundled_target_says_how_it_is_recognised() -> None:
    """None is left that could never carry its name."""
    assert [name for name in target_names() if load_target(name).device.identity is None] == []


def test_core_parts_are_those_of_each_cpu() -> None:
    """Of /proc/cpuinfo of a Raspberry Pi 5, and of an old kernel that describes one CPU for all."""
    text = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n"
    one = core_parts(text + text.replace(": 0\n", ": 1\n"))  # type: ignore[no-untyped-call] # Python 3.6
    assert one == {0: "0x41 0xd0b", 1: "0x41 0xd0b"}
    old = "Processor\t: AArch64 rev 0\nprocessor\t: 0\nprocessor\t: 1\n\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n"
    assert core_parts(old) == {1: "0x41 0xd03"}  # type: ignore[no-untyped-call] # the same
    assert core_parts("processor\t: 0\nmodel name\t: AMD EPYC\n") == {}  # type: ignore[no-untyped-call] # the same


@pytest.mark.parametrize(("listed", "count"), [("0-3", 4), ("0,3-5", 4), ("0", 1), ("", None)])
def test_a_list_of_cpus_is_counted(listed: str, count: int | None) -> None:
    """As Linux writes them; without a list there is no count."""
    assert count_cpus(listed) == count  # type: ignore[no-untyped-call] # Python 3.6


def test_what_this_machine_shows_is_read() -> None:
    """A machine without a device tree has no names, one with it has those of its compatible entries."""
    names = board()  # type: ignore[no-untyped-call] # Python 3.6
    assert all(name and not re.search("[\0\n]", name) for name in names)
