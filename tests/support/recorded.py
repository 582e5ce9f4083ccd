"""Stand-ins for devices that are not here, each a recording: they prove that edgekd keeps the protocol, not a latency.

``trtexec``, ``nvpmodel`` and ``jetson_clocks`` print what those of JetPack print, by public logs of a Jetson Nano
(TensorRT 8.0.1 and 8.2.1) and of TensorRT 10.9, and by samples/common/sampleReporting.cpp of NVIDIA/TensorRT; their
times are recorded ones. What an engine answers is real: ONNX Runtime computes it.

``adb`` takes the commands of Android's client (Debug Bridge 1.0.41). Its phone's properties, clocks and heat are
recorded; what is pushed to it and started there really runs, under the ARM emulator.
"""

import sys
from pathlib import Path

from edgekd.bench.cores import CORES, write_root
from edgekd.bench.emulator import Emulator

SERIAL = "R5CT000RECORDED"

_OPTIONS = {
    "8201": ("--workspace", "--buildOnly"),
    "8502": ("--memPoolSize", "--workspace", "--buildOnly"),
    "8602": ("--memPoolSize", "--skipInference"),
    "100900": ("--memPoolSize", "--skipInference"),
    "110100": ("--memPoolSize", "--skipInference"),
}
_TAKEN = (
    *("--onnx", "--saveEngine", "--loadEngine", "--fp16", "--int8", "--best", "--shapes", "--loadInputs"),
    *("--exportOutput", "--exportTimes", "--exportProfile", "--dumpProfile", "--useSpinWait", "--warmUp"),
    *("--duration", "--iterations", "--avgRuns", "--help"),
)

_TRTEXEC = '''#!{python}
"""A recording, not NVIDIA's program: see tests/support/recorded.py."""
import json, shutil, sys
sys.path[:0] = {path!r}
version, taken, extra = {version!r}, {taken!r}, {extra!r}
given = dict(word.partition("=")[::2] for word in sys.argv[1:])
build = "" if int(version) < 100000 else " [b34]"
print("&&&& RUNNING TensorRT.trtexec [TensorRT v" + version + "]" + build + " # " + " ".join(sys.argv))
if "--help" in given:
    print("\\n".join("  " + option for option in taken))
    sys.exit(0)
for option in given:
    if option not in taken:
        print("[11/26/2026-00:00:00] [E] Unknown option: " + option)
        print("&&&& FAILED TensorRT.trtexec [TensorRT v" + version + "]" + build, file=sys.stderr)
        sys.exit(1)
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if "--onnx" in given:
    shutil.copy(given["--onnx"], given["--saveEngine"])
    print("[11/26/2026-00:00:00] [I] Engine built in 184.708 sec.")
if "--loadEngine" in given:
    old = int(version) < 8400
    print("[11/26/2026-00:00:00] [I] Engine " + ("loaded in 3.86437" if old else "deserialized in 0.10331") + " sec.")
if "--exportOutput" in given:
    import numpy, onnxruntime
    session = onnxruntime.InferenceSession(given["--loadEngine"], providers=["CPUExecutionProvider"])
    files = dict(pair.split(":") for pair in given["--loadInputs"].split(","))
    sizes = lambda given: [size if isinstance(size, int) else -1 for size in given.shape]
    feeds = {{i.name: numpy.fromfile(files[i.name], "float32").reshape(sizes(i)) for i in session.get_inputs()}}
    rows = [{{"name": o.name, "dimensions": "x".join(map(str, a.shape)), "values": (a + extra).ravel().tolist()}}
            for o, a in zip(session.get_outputs(), session.run(None, feeds))]
    json.dump(rows, open(given["--exportOutput"], "w"))
if "--exportTimes" in given:
    rows, at = [], 0.0
    for number in range(int(given["--iterations"]) + 8):
        compute = 89.9 + 0.1 * (number % 5)
        rows.append({{"startEnqMs": at, "endEnqMs": at + 5.0, "startH2dMs": at, "endH2dMs": at + 0.28,
                     "startComputeMs": at + 0.28, "endComputeMs": at + 0.28 + compute,
                     "startD2hMs": at + 0.28 + compute, "endD2hMs": at + 0.29 + compute,
                     "h2dMs": 0.28, "computeMs": compute, "d2hMs": 0.01, "latencyMs": compute + 0.29}})
        if int(version) < 8400:
            rows[-1]["endToEndMs"] = compute + 0.3
        at += compute + 0.29
    first = 0 if int(version) < 8400 else next(i for i, r in enumerate(rows) if r["startComputeMs"] >= 500)
    json.dump(rows[first:], open(given["--exportTimes"], "w"))
    print("[11/26/2026-00:00:00] [I] Latency: min = 90.19 ms, max = 90.59 ms, mean = 90.39 ms, median = 90.39 ms")
if "--exportProfile" in given:
    rows = [{{"count": 35}}, {{"name": "/conv/Conv", "timeMs": 70.0, "averageMs": 2.0, "percentage": 20.0}},
            {{"name": "/fc/Gemm", "timeMs": 280.0, "averageMs": 8.0, "percentage": 80.0}}]
    json.dump(rows, open(given["--exportProfile"], "w"))
print("&&&& PASSED TensorRT.trtexec [TensorRT v" + version + "]" + build + " # " + " ".join(sys.argv))
'''

CLOCKS = "SOC family:tegra210  Machine:NVIDIA Jetson Nano Developer Kit\nGPU MinFreq=921600000 CurrentFreq=921600000\n"


def write_jetson(programs: Path, version: str, *, wrong_by: float = 0.0) -> Path:
    """Put a Jetson's programs into *programs*, trtexec of *version*; return the file that lists what it was told.

    What its engines answer is wrong by *wrong_by*.
    """
    log = programs / "trtexec.log"
    text = _TRTEXEC.format(
        python=sys.executable, path=sys.path, version=version, taken=_TAKEN + _OPTIONS[version], log=str(log),
        extra=wrong_by,
    )  # fmt: skip
    _write(programs / "trtexec", text)
    _write(programs / "nvpmodel", "#!/bin/sh\n# a recording\nprintf 'NV Power Mode: MAXN\\n0\\n'\n")
    _write(programs / "jetson_clocks", f"#!/bin/sh\n# a recording\ncat <<'END'\n{CLOCKS}END\n")
    return log


_ADB = '''#!{python}
"""A recording, not Android's client: see tests/support/recorded.py."""
import os, shutil, subprocess, sys
words = sys.argv[1:]
if words[:1] == ["-s"]:
    if words[1] != {serial!r}:
        sys.exit("error: device '" + words[1] + "' not found")
    words = words[2:]
there = lambda text: text.replace("/data/local/tmp", {phone!r} + "/data/local/tmp")
if words[0] == "push":
    for source in words[1:-1]:
        shutil.copy(source, there(words[-1]))
        print(source + ": 1 file pushed")
    sys.exit(0)
assert words[0] == "shell" and len(words) == 2, words
said = there(words[1])
for own in ("/sys/devices/system/cpu", "/sys/class/thermal", "/proc/stat", "/proc/uptime", "/proc/loadavg",
            "/proc/cpuinfo"):
    said = said.replace(own, {phone!r} + own)
said = said.replace("./ld-linux-aarch64.so.1", {qemu!r})
environment = {{"PATH": {programs!r} + ":" + os.environ["PATH"]}}
done = subprocess.run(["sh", "-c", said], env=environment, stdout=subprocess.PIPE)
sys.stdout.buffer.write(done.stdout.replace({phone!r}.encode(), b""))
sys.exit(done.returncode)
'''

_FACTS = {
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1803000",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1401600",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
    "sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq": "2850000",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2850000",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "schedutil",
    "sys/class/thermal/thermal_zone0/temp": "38500",
    "sys/devices/system/cpu/present": "0-1",
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n"
    "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd44\n",
    "proc/stat": "cpu  1000 0 500 9000 100 0 0 0 0 0",
    "proc/uptime": "4711.5 9000.0",
    "proc/loadavg": "0.42 0.4 0.4 1/900 4242",
}
_PROPERTIES = {"ro.soc.model": "Tensor", "ro.product.model": "Pixel 6", "ro.build.version.release": "14"}


def write_phone(folder: Path, emulator: Emulator, *, thermal_status: int = 0, machine: str = "aarch64") -> Path:
    """Make a phone of two cores in *folder*, the second the faster, and an adb that knows it; return adb's folder."""
    here, phone, programs = folder / "adb", folder / "phone", folder / "phone-programs"
    for made in (here, programs, phone / "data/local/tmp"):
        made.mkdir(parents=True)
    for name, text in _FACTS.items():
        (phone / name).parent.mkdir(parents=True, exist_ok=True)
        (phone / name).write_text(text + "\n")
    root = folder / "phone-root"
    write_root(CORES["cortex-a76"], emulator.folder / "root", root)
    loader = f"{emulator.folder}/qemu-aarch64 -cpu cortex-a76 -L {root} ./ld-linux-aarch64.so.1"
    answers = "".join(f"{key}) echo '{text}';;\n" for key, text in _PROPERTIES.items())
    _write(programs / "getprop", f'#!/bin/sh\n# a recording\ncase "$1" in\n{answers}esac\n')
    _write(programs / "dumpsys", f"#!/bin/sh\n# a recording\necho 'Thermal Status: {thermal_status}'\n")
    uname = f'#!/bin/sh\n# a recording\ncase "$1" in -m) echo {machine};; *) echo 5.10.177-android13;; esac\n'
    _write(programs / "uname", uname)
    text = _ADB.format(python=sys.executable, serial=SERIAL, phone=str(phone), qemu=loader, programs=str(programs))
    _write(here / "adb", text)
    return here


def left_on_phone(folder: Path) -> list[str]:
    """Return what lies in the phone's folder for temporary files."""
    return sorted(path.name for path in (folder / "phone/data/local/tmp").iterdir())


def _write(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(text)
    path.chmod(0o755)
