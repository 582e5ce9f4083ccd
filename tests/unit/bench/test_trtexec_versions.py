"""Laws of trtexec's versions: by their own banners, and by what is known of each."""

from itertools import pairwise

import pytest

from edgekd.bench.device_errors import NoRuntimeError
from edgekd.bench.trtexec_versions import GENERATIONS, load_ms_of, options_of, version_of

HELP = "--workspace --memPoolSize --buildOnly --skipInference --useSpinWait --exportTimes"


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8001] # trtexec", (8, 0, 1)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8201] # trtexec", (8, 2, 1)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec", (8, 5, 2)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b17] # trtexec", (10, 3, 0)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v110100] [b1] # trtexec", (11, 1, 0)),
    ],
)
def test_the_banner_tells_the_version(banner: str, version: tuple[int, int, int]) -> None:
    """Two digits each from 10 on, one for the first before."""
    assert version_of(banner, "ssh:board") == version


def test_generations_do_not_overlap() -> None:
    """Each version has one set of options at most."""
    for before, after in pairwise(GENERATIONS):
        assert before.first < before.until <= after.first


@pytest.mark.parametrize("version", [(7, 1, 3), (9, 1, 0), (11, 0, 0)])
def test_a_version_that_is_not_known_is_refused(version: tuple[int, int, int]) -> None:
    """Before JetPack 4.6, the one without JetPack, and the one with other defaults."""
    with pytest.raises(NoRuntimeError, match="does not guess others"):
        options_of(version, HELP, "ssh:board")


def test_a_program_that_says_otherwise_is_refused() -> None:
    """What the table says must stand in its own help."""
    with pytest.raises(NoRuntimeError, match="says nothing of --memPoolSize"):
        options_of((8, 5, 2), HELP.replace("--memPoolSize", ""), "ssh:board")
    with pytest.raises(NoRuntimeError, match="does not say its version"):
        version_of("usage: trtexec", "ssh:board")


@pytest.mark.parametrize(
    ("line", "load_ms"),
    [
        ("[04/14/2026-01:43:10] [I] Engine loaded in 3.86437 sec.", 3864.37),
        ("[04/07/2025-23:59:47] [I] Engine deserialized in 0.10331 sec.", 103.31),
        ("nothing of it", None),
    ],
)
def test_the_load_time_is_read_as_each_generation_prints_it(line: str, load_ms: float | None) -> None:
    """In seconds, behind another word; what is not printed is not known."""
    assert load_ms_of(line) == pytest.approx(load_ms)
