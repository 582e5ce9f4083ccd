"""What each version of trtexec calls its options, and how it prints its version and its times."""

import re
from typing import Final

import msgspec

from edgekd.bench.device_errors import NoRuntimeError


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One generation: from version *first* up to, but without, *until*."""

    first: tuple[int, int]
    until: tuple[int, int]
    workspace: str
    build_only: str


WORKSPACE_MIB: Final = 1024
WARMUP_MS: Final = 500

GENERATIONS: Final = (
    Options(first=(8, 0), until=(8, 4), workspace="--workspace={}", build_only="--buildOnly"),
    Options(first=(8, 4), until=(8, 6), workspace="--memPoolSize=workspace:{}", build_only="--buildOnly"),
    Options(first=(8, 6), until=(9, 0), workspace="--memPoolSize=workspace:{}", build_only="--skipInference"),
    Options(first=(10, 0), until=(11, 0), workspace="--memPoolSize=workspace:{}", build_only="--skipInference"),
)
"""Source: samples/common/sampleOptions.cpp of github.com/NVIDIA/TensorRT and logs of JetPack's trtexec. The workspace
is in MiB for both names. What a version needs must also stand in its own ``--help``. From 11 on the defaults are
others (strong types, spin-wait, CUDA graphs), so that its times would not compare: it is refused."""

_BANNER: Final = re.compile(r"\[TensorRT v(\d+)\]")
_LOADED: Final = re.compile(r"Engine (?:loaded|deserialized) in ([0-9.e+-]+) sec")


def version_of(said: str, where: str) -> tuple[int, int, int]:
    """Return the version in trtexec's first line: ``v8201`` is 8.2.1, ``v100300`` is 10.3.0."""
    found = _BANNER.search(said)
    if found is None:
        message = f"{where}: what is called trtexec there does not say its version, so nothing is known of its options."
        raise NoRuntimeError(message)
    number = int(found[1])
    scale = 10_000 if number >= 100_000 else 1_000  # noqa: PLR2004 - from 10 on, six digits
    return number // scale, number % scale // 100, number % 100


def options_of(version: tuple[int, int, int], help_text: str, where: str) -> Options:
    """Return the generation of *version*. Raises NoRuntimeError for one that is not known, or says otherwise itself."""
    written = ".".join(map(str, version))
    known = next((one for one in GENERATIONS if one.first <= version[:2] < one.until), None)
    if known is None:
        message = (
            f"{where}: its trtexec is of TensorRT {written}; edgekd knows the options of 8.0 to 8.6 and of 10 and "
            f"does not guess others."
        )
        raise NoRuntimeError(message)
    for option in (known.workspace.partition("=")[0], known.build_only, "--useSpinWait", "--exportTimes"):
        if option not in help_text:
            message = f"{where}: its trtexec of TensorRT {written} says nothing of {option} in its --help."
            raise NoRuntimeError(message)
    return known


def load_ms_of(said: str) -> float | None:
    """Return how long the engine took to load, None where this version does not print it."""
    found = _LOADED.search(said)
    return 1e3 * float(found[1]) if found else None
