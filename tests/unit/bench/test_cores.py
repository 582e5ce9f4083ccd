"""Core profiles: what they claim about a core is what the emulated system shows of it."""

from pathlib import Path

import msgspec
import pytest

from edgekd.bench.cores import CORES, core_like, core_named, write_root
from edgekd.core.errors import ConfigError
from edgekd.targets import load_target


def test_the_boards_that_have_targets_have_a_core() -> None:
    """Raspberry Pi 3, 4 and 5 and the Orin modules are each served by one profile."""
    served = {board: core.name for core in CORES.values() for board in core.boards}
    assert served["Raspberry Pi 3"] == "cortex-a53"
    assert served["Raspberry Pi 4"] == "cortex-a72"
    assert served["Raspberry Pi 5"] == "cortex-a76"
    assert served["Jetson Orin Nano"] == "cortex-a78ae"


def test_features_follow_the_architecture() -> None:
    """Armv8.0 cores have no dot product, Armv8.2 cores do, and only the last profile has matrix products."""
    assert [name for name, core in CORES.items() if not core.has_dot_product] == ["cortex-a53", "cortex-a72"]
    assert [name for name, core in CORES.items() if core.has_matrix_product] == ["i8mm"]


@pytest.mark.parametrize("core", CORES.values(), ids=list(CORES))
def test_every_profile_names_its_source(core: object) -> None:
    """A device's facts are data with a source."""
    assert "github.com/" in getattr(core, "source", "")


def test_another_name_is_refused_with_the_names_there_are() -> None:
    """A typo ends in one sentence that lists what to write instead."""
    with pytest.raises(ConfigError, match=r"'cortex-a77'.*known are cortex-a53, .*i8mm\.$"):
        core_named("cortex-a77")


def test_the_guest_sees_one_paragraph_for_each_logical_core(tmp_path: Path) -> None:
    """/proc/cpuinfo of a Raspberry Pi 4, written by hand from its data sheet: part 0xd08, r0p3, four cores."""
    write_root(CORES["cortex-a72"], tmp_path / "libraries", tmp_path / "root")
    paragraphs = (tmp_path / "root/proc/cpuinfo").read_text(encoding="ascii").split("\n\n")
    assert [paragraph.splitlines()[0] for paragraph in paragraphs] == [f"processor\t: {n}" for n in range(4)]
    for line in ("CPU implementer\t: 0x41", "CPU variant\t: 0x0", "CPU part\t: 0xd08", "CPU revision\t: 3"):
        assert line in paragraphs[3].splitlines()
    assert "Features\t: fp asimd evtstrm crc32 cpuid" in paragraphs[0]


def test_the_guest_sees_the_topology_of_the_board(tmp_path: Path) -> None:
    """An Orin Nano has the processors 0 to 5, each with a folder of its own, and the ARM system's libraries."""
    write_root(CORES["cortex-a78ae"], tmp_path / "libraries", tmp_path / "root")
    system = tmp_path / "root/sys/devices/system/cpu"
    assert (system / "possible").read_text(encoding="ascii") == "0-5\n"
    assert sorted(folder.name for folder in system.glob("cpu*")) == [f"cpu{number}" for number in range(6)]
    assert (tmp_path / "root/lib").readlink() == tmp_path / "libraries/lib"


@pytest.mark.parametrize(
    ("target", "core"),
    [
        ("raspberry-pi-3", "cortex-a53"),
        ("raspberry-pi-4", "cortex-a72"),
        ("jetson-orin-nano", "cortex-a78ae"),
        ("rk3588", "cortex-a76"),
        ("android-a75", "cortex-a72"),
        ("android-armv9", "i8mm"),
        ("jetson-xavier-nx", "cortex-a72"),
        ("x86-64", None),
    ],
)
def test_a_target_is_emulated_by_a_core_with_its_kernels(target: str, core: str | None) -> None:
    """Its own core, or one with the same dot and matrix products; nothing stands for an x86 CPU."""
    facts = load_target(target)
    found = core_like(facts.cluster, facts.device.architecture)
    assert (found.name if found else None) == core


def test_an_early_cortex_a55_is_not_emulated_with_dot_products() -> None:
    """Its revision 0 has none: the features decide, not the name."""
    little = load_target("rk3588").device.clusters["little"]
    early = msgspec.structs.replace(little, dot_product=False)
    assert core_like(little, "aarch64") == CORES["cortex-a55"]
    assert core_like(early, "aarch64") == CORES["cortex-a72"]
