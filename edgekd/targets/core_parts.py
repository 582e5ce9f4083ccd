"""The names of CPU cores by what /proc/cpuinfo says of them: who made the core, and which one it is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_ARM: Final = 0x41
_HISILICON: Final = 0x48
_NVIDIA: Final = 0x4E
_QUALCOMM: Final = 0x51


def core_name(implementer: int, part: int) -> str | None:
    """Return the core's name as target files write it, or None for one that edgekd does not know."""
    return CORE_PARTS.get((implementer, part))


# Sources: util-linux sys-utils/lscpu-arm.c and Linux arch/arm64/include/asm/cputype.h (Arm's, NVIDIA's and
# HiSilicon's numbers); which of Arm's cores Qualcomm's Kryo is: pytorch/cpuinfo src/arm/uarch.c (2xx, 3xx) and Linux
# drivers/hwtracing/coresight/coresight-etm4x-core.c (4xx).
CORE_PARTS: Final[Mapping[tuple[int, int], str]] = MappingProxyType(
    {
        (_ARM, 0xD03): "Cortex-A53",
        (_ARM, 0xD05): "Cortex-A55",
        (_ARM, 0xD07): "Cortex-A57",
        (_ARM, 0xD08): "Cortex-A72",
        (_ARM, 0xD09): "Cortex-A73",
        (_ARM, 0xD0A): "Cortex-A75",
        (_ARM, 0xD0B): "Cortex-A76",
        (_ARM, 0xD0D): "Cortex-A77",
        (_ARM, 0xD41): "Cortex-A78",
        (_ARM, 0xD42): "Cortex-A78AE",
        (_ARM, 0xD44): "Cortex-X1",
        (_ARM, 0xD46): "Cortex-A510",
        (_ARM, 0xD47): "Cortex-A710",
        (_ARM, 0xD48): "Cortex-X2",
        (_ARM, 0xD4D): "Cortex-A715",
        (_ARM, 0xD4E): "Cortex-X3",
        (_ARM, 0xD80): "Cortex-A520",
        (_ARM, 0xD81): "Cortex-A720",
        (_ARM, 0xD82): "Cortex-X4",
        (_HISILICON, 0xD40): "Cortex-A76",
        (_NVIDIA, 0x003): "Denver 2",
        (_NVIDIA, 0x004): "Carmel",
        (_QUALCOMM, 0x800): "Cortex-A73",
        (_QUALCOMM, 0x801): "Cortex-A53",
        (_QUALCOMM, 0x802): "Cortex-A75",
        (_QUALCOMM, 0x803): "Cortex-A55",
        (_QUALCOMM, 0x804): "Cortex-A76",
        (_QUALCOMM, 0x805): "Cortex-A55",
    }
)
