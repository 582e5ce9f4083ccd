"""The ARM cores that can be emulated: what QEMU runs, and what the system tells ONNX Runtime about them.

ONNX Runtime chooses its kernels by the core that /proc/cpuinfo names and by the features that the kernel reports,
so both belong to a core here. A ``Features`` line is what Linux prints on the board, without the names that QEMU's
core lacks: a kernel that used one of those would be stopped by SIGILL.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from edgekd.core.errors import ConfigError
from edgekd.targets import Cluster


class Core(msgspec.Struct, frozen=True, kw_only=True):
    """One core: *qemu_cpu* is its instruction set, the others are its lines in /proc/cpuinfo."""

    name: str
    qemu_cpu: str
    part: int
    variant: int
    revision: int
    features: str
    boards: tuple[str, ...]
    source: str
    implementer: int = 0x41  # Arm
    logical_cores: int = 4

    @property
    def has_dot_product(self) -> bool:
        """Return whether the core multiplies and adds four 8-bit pairs at once (SDOT, UDOT)."""
        return "asimddp" in self.features.split()

    @property
    def has_matrix_product(self) -> bool:
        """Return whether the core multiplies 8-bit matrices (SMMLA, UMMLA)."""
        return "i8mm" in self.features.split()


def core_named(name: str) -> Core:
    """Return the core of the table. Raises ConfigError, with the names there are, for another."""
    if name not in CORES:
        message = f"core {name!r}: there is no such profile; known are {', '.join(CORES)}."
        raise ConfigError(message)
    return CORES[name]


def core_like(cluster: Cluster, architecture: str) -> Core | None:
    """Return the core that ONNX Runtime gives the same integer kernels as *cluster*'s, None where there is none.

    That is the core itself, or else the last of the table with the same dot and matrix products: those decide.
    """
    if architecture != "aarch64":
        return None
    products = (cluster.dot_product, cluster.i8mm)
    same = [core for core in CORES.values() if (core.has_dot_product, core.has_matrix_product) == products]
    own = [core for core in same if core.name == cluster.core.lower()]
    candidates = own or same
    return candidates[-1] if candidates else None


def write_root(core: Core, libraries: Path, folder: Path) -> None:
    """Make *folder* what QEMU's ``-L`` takes: the system as *core* shows it, over the ARM system's *libraries*.

    QEMU 7.2 lets the guest see the host's /proc/cpuinfo, in which ONNX Runtime finds no ARM core and crashes; under
    the prefix it finds ours. *folder* must not exist: a run makes its own, so runs side by side never share one.
    """
    listed = range(core.logical_cores)
    everyone = f"0-{core.logical_cores - 1}\n"
    system = folder / "sys/devices/system/cpu"
    (folder / "proc").mkdir(parents=True)
    (folder / "lib").symlink_to(libraries / "lib")
    (folder / "proc/cpuinfo").write_text("\n".join(_cpuinfo(core, number) for number in listed), encoding="ascii")
    for number in listed:
        topology = system / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text("0\n", encoding="ascii")
        (topology / "cluster_cpus_list").write_text(everyone, encoding="ascii")
    for name in ("possible", "present", "online"):
        (system / name).write_text(everyone, encoding="ascii")


def _cpuinfo(core: Core, number: int) -> str:
    """Return one processor's paragraph."""
    fields = {
        "processor": str(number),
        "BogoMIPS": "108.00",
        "Features": core.features,
        "CPU implementer": f"{core.implementer:#04x}",
        "CPU architecture": "8",
        "CPU variant": f"{core.variant:#x}",
        "CPU part": f"{core.part:#05x}",
        "CPU revision": str(core.revision),
    }
    return "".join(f"{name}\t: {value}\n" for name, value in fields.items())


def _by_name(cores: Sequence[Core]) -> Mapping[str, Core]:
    """Return *cores* as a read-only table."""
    return MappingProxyType({core.name: core for core in cores})


_ARMV8_0: Final = "fp asimd evtstrm crc32 cpuid"
_ARMV8_2: Final = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
_I8MM: Final = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 "
    "sm4 asimddp sha512 asimdfhm dit uscat ilrcpc flagm sb paca pacg dcpodp flagm2 frint i8mm bf16 bti"
)

CORES: Final = _by_name(
    (
        Core(
            name="cortex-a53",
            qemu_cpu="cortex-a53",
            part=0xD03,
            variant=0,
            revision=4,
            features=_ARMV8_0,
            boards=("Raspberry Pi 3",),
            source="/proc/cpuinfo of a Raspberry Pi 3 B+: github.com/hrw/arm-socs-table/issues/29",
        ),
        Core(
            name="cortex-a55",
            qemu_cpu="cortex-a76",  # QEMU 7.2 has no A55; both are Armv8.2 with FP16 and dot product
            part=0xD05,
            variant=2,  # from variant 1 on it has the dot product (pytorch/cpuinfo, src/arm/linux/aarch64-isa.c)
            revision=0,
            features=_ARMV8_2,
            boards=("RK3568", "RK3588, small cores", "phones, small cores"),
            source="/proc/cpuinfo of an RK3588: github.com/hrw/arm-socs-table/issues/18",
        ),
        Core(
            name="cortex-a72",
            qemu_cpu="cortex-a72",
            part=0xD08,
            variant=0,
            revision=3,
            features=_ARMV8_0,
            boards=("Raspberry Pi 4",),
            source="/proc/cpuinfo of a Raspberry Pi 4 B: github.com/fastfetch-cli/fastfetch/issues/1529",
        ),
        Core(
            name="cortex-a76",
            qemu_cpu="cortex-a76",
            part=0xD0B,
            variant=4,
            revision=1,
            features=_ARMV8_2,
            boards=("Raspberry Pi 5", "RK3588, large cores"),
            source="/proc/cpuinfo of a Raspberry Pi 5: github.com/hrw/arm-socs-table/issues/96",
        ),
        Core(
            name="cortex-a78ae",
            qemu_cpu="cortex-a76",  # QEMU 7.2 has no A78AE; without uscat, ilrcpc, flagm, paca and pacg, as A76
            part=0xD42,
            variant=0,
            revision=1,
            features=_ARMV8_2,
            boards=("Jetson Orin Nano", "Jetson Orin NX", "Jetson AGX Orin"),
            source="flags of a Jetson Orin (r0p1): github.com/KavrakiLab/vamp/issues/20",
            logical_cores=6,
        ),
        Core(
            name="i8mm",
            qemu_cpu="max,sve=off,sme=off",  # as on phones, which have SVE switched off
            part=0xD46,
            variant=0,
            revision=2,
            features=_I8MM,
            boards=("phones from Snapdragon 8 Gen 1 on",),
            source="/proc/cpuinfo of a Snapdragon 8 Gen 1 (Cortex-A510): github.com/hrw/arm-socs-table/issues/90",
            logical_cores=8,
        ),
    )
)
"""By name. *i8mm* stands for all cores with 8-bit matrix products and no SVE."""
