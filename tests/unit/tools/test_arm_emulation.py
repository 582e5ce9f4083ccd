"""tools/arm-emulation: what the plugin counts, instruction by instruction, and what the set-up refuses."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from emulator import the_emulator

from edgekd.bench.cores import CORES, write_root
from edgekd.bench.instructions import Instructions, read_windows

SETUP = Path(__file__).parents[3] / "tools" / "arm-emulation" / "setup"

PROGRAM = """
    .arch armv8.6-a+dotprod+i8mm+bf16+fp16+fp16fml+lse
    .global _start
_start:
    adr x0, words
    mov x9, x0
    add x10, x0, 64
    hint 100
    {body}
    hint 101
    mov x0, 0
    mov x8, 93
    svc 0
    .data
    .align 6
words: .fill 64, 4, 0
"""

# One line, one instruction.
BY_CLASS = {
    "dot": (
        "sdot v0.4s, v1.16b, v2.16b",
        "udot v0.2s, v1.8b, v2.8b",
        "usdot v0.4s, v1.16b, v2.16b",
        "sdot v0.4s, v1.16b, v2.4b[3]",
        "udot v0.4s, v1.16b, v2.4b[0]",
        "usdot v0.4s, v1.16b, v2.4b[1]",
        "sudot v0.4s, v1.16b, v2.4b[2]",
    ),
    "mmla": (
        "smmla v0.4s, v1.16b, v2.16b",
        "ummla v0.4s, v1.16b, v2.16b",
        "usmmla v0.4s, v1.16b, v2.16b",
        "bfmmla v0.4s, v1.8h, v2.8h",
    ),
    "fmla": (
        "fmla v0.4s, v1.4s, v2.4s",
        "fmls v0.2d, v1.2d, v2.2d",
        "fmla v0.8h, v1.8h, v2.8h",
        "fmla v0.4s, v1.4s, v2.s[3]",
        "fmls v0.8h, v1.8h, v2.h[7]",
        "fmlal v0.4s, v1.4h, v2.4h",
        "fmlsl2 v0.4s, v1.4h, v2.4h",
        "fmlal v0.4s, v1.4h, v2.h[5]",
        "fmlal2 v0.4s, v1.4h, v2.h[5]",
        "bfdot v0.4s, v1.8h, v2.8h",
        "bfdot v0.4s, v1.8h, v2.2h[1]",
        "fmadd s0, s1, s2, s3",
        "fnmsub d0, d1, d2, d3",
    ),
    "imla": (
        "smlal v0.8h, v1.8b, v2.8b",
        "umlsl2 v0.4s, v1.8h, v2.8h",
        "smull v0.8h, v1.8b, v2.8b",
        "mla v0.16b, v1.16b, v2.16b",
        "mls v0.4s, v1.4s, v2.4s",
        "mul v0.4s, v1.4s, v2.4s",
        "smlal v0.4s, v1.4h, v2.h[3]",
        "umull2 v0.4s, v1.8h, v2.h[3]",
        "mla v0.4s, v1.4s, v2.s[1]",
        "mul v0.8h, v1.8h, v2.h[1]",
    ),
    "simd_other": (
        "fadd v0.4s, v1.4s, v2.4s",
        "fmul v0.4s, v1.4s, v2.4s",
        "movi v0.4s, 1",
        "sqrdmulh v0.4s, v1.4s, v2.4s",
        "sadalp v0.4s, v1.8h",
        "ushll v0.8h, v1.8b, 0",
        "dup v0.4s, w0",
        "fmov s0, w0",
        "scvtf s0, w0",
    ),
    "load": (
        "ldr x1, [x9]",
        "ldrsw x1, [x9, 4]",
        "ldrb w1, [x9]",
        "ldr q0, [x9]",
        "ldp q0, q1, [x9]",
        "ldp x1, x2, [x9], 0",
        "ldur d0, [x9]",
        "ldr x1, words",
        "ldr q0, words",
        "ld1 {v0.16b, v1.16b}, [x9]",
        "ld1r {v0.4s}, [x9]",
        "ldar w1, [x9]",
        "ldaddal w1, w2, [x9]",
        "prfm pldl1keep, [x9]",
    ),
    "store": (
        "str x1, [x10]",
        "strb w1, [x10]",
        "str q0, [x10]",
        "stur q0, [x10]",
        "stp q0, q1, [x10]",
        "str s0, [x10, 4]!",
        "st1 {v0.16b}, [x9]",
        "stlr w1, [x9]",
    ),
    "branch": ("b . + 4", "cbz x0, . + 4", "tbz x0, 1, . + 4", "b.ne . + 4", "nop", "mrs x1, tpidr_el0"),
    "alu": (
        "add x1, x2, x3",
        "mul x1, x2, x3",
        "madd x1, x2, x3, x4",
        "mov x1, 7",
        "csel x1, x2, x3, ne",
        "lsl x1, x2, 3",
    ),
}


def counts_of(lines: tuple[str, ...], folder: Path) -> Instructions:
    """Assemble a program that runs *lines* once between the marks, and return what the plugin counts."""
    found = the_emulator()
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None:
        pytest.skip("aarch64-linux-gnu-gcc is gone since the emulator was set up")
    folder.mkdir()
    (folder / "program.s").write_text(PROGRAM.format(body="\n    ".join(lines)), encoding="ascii")
    subprocess.run([compiler, "-nostdlib", "-static", "-o", "program", "program.s"], cwd=folder, check=True)
    core = CORES["i8mm"]
    write_root(core, found.folder / "root", folder / "root")
    plugin = f"{found.folder / 'count_instructions.so'},out=counts.json"
    command = [str(found.folder / "qemu-aarch64"), "-cpu", core.qemu_cpu, "-L", "root", "-plugin", plugin, "./program"]
    subprocess.run(command, cwd=folder, check=True)
    (window,) = read_windows((folder / "counts.json").read_bytes())
    return window


@pytest.mark.parametrize("name", BY_CLASS)
def test_every_instruction_is_counted_in_its_class(name: str, tmp_path: Path) -> None:
    """The assembler is the second opinion: of lines of one class, none falls outside it or is counted twice."""
    lines = BY_CLASS[name]
    expected = dict.fromkeys(Instructions.__struct_fields__, 0) | {name: len(lines), "total": len(lines)}
    assert msgspec.structs.asdict(counts_of(lines, tmp_path / "program")) == expected


def test_a_loop_is_counted_as_often_as_it_runs(tmp_path: Path) -> None:
    """7 turns of SDOT, SUBS and B.NE after one MOV: 7 dot products, 7 branches, 8 ALU; 22 in all."""
    loop = ("mov x5, 7", "again: sdot v0.4s, v1.16b, v2.16b", "subs x5, x5, 1", "b.ne again")
    found = counts_of(loop, tmp_path / "program")
    assert (found.dot, found.branch, found.alu, found.total) == (7, 7, 8, 22)


def test_the_set_up_leaves_the_folder_of_somebody_else_alone(tmp_path: Path) -> None:
    """A folder with a file in it that the set-up did not write is refused, and stays as it was."""
    (tmp_path / "thesis.tex").touch()
    done = subprocess.run([SETUP, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("is not empty and was not made by this script; name another folder.")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the emulator is for Linux, x86-64"
)
def test_the_set_up_says_what_it_needs_where_there_is_no_apt(tmp_path: Path) -> None:
    """On a system with neither QEMU nor apt-get, one sentence names the packages, and nothing is left behind."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "sed", "cat", "cksum", "ls", "uname", "dirname", "mkdir", "id"):
        (tools / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name} here"))
    environment = {"PATH": str(tools), "HOME": str(tmp_path)}
    done = subprocess.run(
        [SETUP, tmp_path / "emulator"], capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert done.returncode == 1
    assert "there is no apt-get to install them with: qemu-user gcc-aarch64-linux-gnu" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
