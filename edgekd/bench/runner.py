"""Time one ONNX file where it lies: the same script here and, copied over, on a device.

``python3 runner.py REQUEST`` reads a request as JSON and prints what it measured as JSON. It needs Python 3.6, numpy
and ONNX Runtime, and nothing of edgekd, so that a board needs no more.
"""

import functools
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

FORMAT = 1
CPU = "CPUExecutionProvider"
STABLE_PART = 0.02
MOST_WARMUP_SECONDS = 20.0
WINDOW = 10
PROFILED_RUNS = 50


def main(path):
    """Measure what the request at *path* asks for and print it."""
    request = json.loads(Path(path).read_text())
    before = machine()
    try:
        import onnxruntime as ort  # noqa: PLC0415 - its absence is an answer, not a traceback
    except ImportError as error:
        print(json.dumps({"error": "no ONNX Runtime for {} there: {}".format(sys.executable, error)}))
        return
    try:
        found = measure(ort, request)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a dozen unrelated types from its native code
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(json.dumps({"error": "ONNX Runtime {} cannot run it: {}".format(ort.__version__, first)}))
        return
    found.update(format=FORMAT, onnxruntime=ort.__version__, before=before, after=machine())
    print(json.dumps(found))


def measure(ort, request):
    """Return load time, first inference, warm-up and raw samples in milliseconds, and the peak memory."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = request["threads"], 1
    options.log_severity_level = 3
    resting = status_bytes("VmRSS")
    began = time.perf_counter()
    session = ort.InferenceSession(request["model"], options, providers=[request["provider"]])
    load_ms = 1e3 * (time.perf_counter() - began)
    feeds = {given.name: example(given, request["batch"]) for given in session.get_inputs()}
    run = caller(session, feeds, request)
    first_ms = timed_ms(run)
    warmup_ms = warm(run, request["warmup_runs"])
    samples, stamps = timed(run, request)
    peak = status_bytes("VmHWM")
    return {
        "load_ms": load_ms,
        "first_ms": first_ms,
        "warmup_ms": warmup_ms,
        "samples_ms": samples,
        "started_ms": stamps,
        "providers": session.get_providers(),
        "peak_memory_bytes": None if peak is None or resting is None else max(0, peak - resting),
        "inputs": {name: list(array.shape) for name, array in feeds.items()},
        "profile": profiled(ort, options, request, feeds) if request["profile"] else [],
    }


def caller(session, feeds, request):
    """Return a call without arguments that runs one inference, and does as little else as there is to do.

    On the CPU inputs and outputs are bound once: Python's own conversions, up to a fifth of a small network's time, are
    no part of an inference. Another provider gets them in each call, with the copies that they cost.
    """
    if request["provider"] != CPU:
        return functools.partial(session.run, None, feeds)
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    for given in session.get_outputs():
        binding.bind_output(given.name)
    return functools.partial(session.run_with_iobinding, binding)


def timed(run, request):
    """Return the timed runs, and when each began, in milliseconds: between two runs nothing is done but noted."""
    clock, starts, ends = time.perf_counter, [], []
    first = clock()
    while len(ends) < request["runs"] or ends[-1] - first < request["seconds"]:
        starts.append(clock())
        run()
        ends.append(clock())
    samples = [1e3 * (end - start) for start, end in zip(starts, ends)]  # noqa: B905 - Python 3.6
    return samples, [round(1e3 * (start - first), 3) for start in starts]


def profiled(ort, options, request, feeds):
    """Return the profile of a session of its own: writing a trace makes every inference slower."""
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(request["model"]).with_suffix(""))
    session = ort.InferenceSession(request["model"], options, providers=[request["provider"]])
    for _ in range(min(PROFILED_RUNS, request["runs"])):
        session.run(None, feeds)
    return profile(session.end_profiling())


def warm(run, runs):
    """Run at least *runs* times and until two windows in a row have about the same median; return those times."""
    taken = []
    began = time.perf_counter()
    while time.perf_counter() - began < MOST_WARMUP_SECONDS:
        taken.append(timed_ms(run))
        if len(taken) >= max(runs, 2 * WINDOW):
            last, previous = np.median(taken[-WINDOW:]), np.median(taken[-2 * WINDOW : -WINDOW])
            if abs(last / previous - 1) <= STABLE_PART:
                break
    return taken


def timed_ms(run):
    """Return how long one inference takes, in milliseconds."""
    began = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - began)


def example(given, batch):
    """Return numbers of one input's type and shape; the first open size is *batch*, others are 1."""
    kinds = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in given.shape]
    if shape and not isinstance(given.shape[0], int):
        shape[0] = batch
    if given.type in kinds:
        return np.random.RandomState(0).standard_normal(shape).astype(kinds[given.type])
    return np.zeros(shape, given.type[len("tensor(") : -1])


def profile(path):
    """Return the microseconds of each operator in ONNX Runtime's trace, summed over all runs, the longest first."""
    events = json.loads(Path(path).read_text())
    Path(path).unlink()
    totals = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = (event["args"]["op_name"], event["args"].get("provider", ""))
            count, spent = totals.get(key, (0, 0))
            totals[key] = (count + 1, spent + event["dur"])
    rows = [{"operator": o, "provider": p, "calls": n, "microseconds": t} for (o, p), (n, t) in totals.items()]
    return sorted(rows, key=lambda row: -row["microseconds"])


def machine():
    """Return what may have disturbed a measurement: clocks, throttling, temperature, and how busy the machine is."""
    return {
        "machine": platform.machine(),
        "system": "{} {}".format(platform.system(), platform.release()),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "governors": sorted(set(read_all("/sys/devices/system/cpu", "cpu[0-9]*/cpufreq/scaling_governor"))),
        "clocks_khz": [int(text) for text in read_all("/sys/devices/system/cpu", "cpu[0-9]*/cpufreq/scaling_cur_freq")],
        "temperatures_c": [int(t) / 1e3 for t in read_all("/sys/class/thermal", "thermal_zone*/temp") if t.isdigit()],
        "throttled": said_by("vcgencmd", "get_throttled"),
        "power_mode": said_by("nvpmodel", "-q"),
        "monotonic_s": time.monotonic(),
        "load": os.getloadavg()[0],
        "busy_ticks": busy_ticks(),
        "own_ticks": int(sum(os.times()[:2]) * os.sysconf("SC_CLK_TCK")),
    }


def cpu_name():
    """Return the processor's name."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(errors="replace").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"


def busy_ticks():
    """Return the clock ticks that all processors have worked since the start, None without /proc."""
    path = Path("/proc/stat")
    if not path.is_file():
        return None
    ticks = [int(word) for word in path.read_text().splitlines()[0].split()[1:]]
    return sum(ticks) - ticks[3] - ticks[4]


def read_all(folder, pattern):
    """Return the text of every readable file of *folder* that matches *pattern*, in order."""
    found = []
    for path in sorted(Path(folder).glob(pattern)):
        try:
            found.append(path.read_text().strip())
        except OSError:
            continue
    return found


def said_by(*command):
    """Return what a command of the board says; nothing where it has none."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10)  # noqa: PLW1510, S603 - Python 3.6, and fixed words
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def status_bytes(field):
    """Return a kB field of /proc/self/status in bytes, None without it."""
    path = Path("/proc/self/status")
    if not path.is_file():
        return None
    values = [line.split()[1] for line in path.read_text().splitlines() if line.startswith(field + ":")]
    return int(values[0]) * 1024 if values else None


if __name__ == "__main__":
    main(sys.argv[1])
