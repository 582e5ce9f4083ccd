"""Time one ONNX file where it lies: the same script here and, copied over, on a device.

``python3 runner.py REQUEST`` reads a request as JSON and prints what it measured as JSON; with ``--machine`` for
REQUEST it prints only what the machine is. It needs Python 3.6, numpy and ONNX Runtime, and nothing of edgekd, so that
a board needs no more.
"""

import functools
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

STABLE_PART = 0.02
MOST_WARMUP_SECONDS = 20.0
WINDOW = 10
PROFILED_RUNS = 50
READING_SECONDS = 1.0
CPU = "CPUExecutionProvider"


class InputError(Exception):
    """The request does not fit the file."""


def main(path):
    """Measure what the request at *path* asks for and print it, or print the kind and the reason of a failure."""
    if path == "--machine":
        print(json.dumps(machine()))
        return
    request = json.loads(Path(path).read_text())
    try:
        import numpy  # noqa: F401, ICN001, PLC0415 - its absence is an answer, not a traceback
        import onnxruntime as ort  # noqa: PLC0415 - the same
    except ImportError as error:
        complain("runtime", "no ONNX Runtime for {} there: {}".format(sys.executable, error))
        return
    if version_of(ort.__version__) < version_of(request["least_runtime"]):
        wanted = "it has ONNX Runtime {}, at least {} is needed: older ones cannot read opset 13 with IR 7"
        complain("runtime", wanted.format(ort.__version__, request["least_runtime"]))
        return
    if request["provider"] not in ort.get_all_providers():
        known = "ONNX Runtime {} knows no provider '{}'; known are {}"
        complain("input", known.format(ort.__version__, request["provider"], ", ".join(ort.get_all_providers())))
        return
    try:
        cores = stay_on(request)
        before = machine()
        found = measure(ort, request)
    except InputError as error:
        complain("input", str(error))
        return
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a dozen unrelated types from its native code
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        complain("device", "ONNX Runtime {} cannot run it: {}".format(ort.__version__, first))
        return
    found.update(runtime="onnxruntime", version=ort.__version__, before=before, after=machine(), cores=cores)
    print(json.dumps(found))


def complain(kind, reason):
    """Print why nothing was measured; *kind* decides how edgekd ends."""
    print(json.dumps({"error": reason, "kind": kind}))


def version_of(text):
    """Return the first two numbers of a version."""
    return tuple(int(part) for part in text.split(".")[:2])


def measure(ort, request):
    """Return load time, first inference, warm-up and raw samples in milliseconds, and what else is asked for."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = request["threads"], 1
    options.log_severity_level = 3
    resting = status_bytes("VmRSS")
    began = time.perf_counter()
    session = ort.InferenceSession(request["model"], options, providers=[request["provider"]])
    load_ms = 1e3 * (time.perf_counter() - began)
    require_batch(session, request["batch"])
    golden = golden_samples(session, request)
    feeds = golden[0][0] if golden else examples(session, request["batch"])
    run = caller(session, feeds, request)
    first_ms = timed_ms(run)
    checked = check(session, golden)
    warmup_ms = warm(run, request["warmup_runs"])
    peak = status_bytes("VmHWM")  # before there are lists of samples, which are no memory of the network's
    samples, stamps, readings = timed(run, request)
    is_elsewhere = request["provider"] != CPU
    nodes = profiled(ort, options, request, feeds) if request["profile"] or is_elsewhere else []
    return {
        "load_ms": load_ms,
        "first_ms": first_ms,
        "warmup_ms": warmup_ms,
        "samples_ms": samples,
        "started_ms": stamps,
        "readings": readings,
        "providers": session.get_providers(),
        "elsewhere": [node for node in nodes if node["provider"] != request["provider"]],
        "peak_memory_bytes": None if peak is None or resting is None else max(0, peak - resting),
        "inputs": {name: list(array.shape) for name, array in feeds.items()},
        "golden": checked,
        "profile": nodes if request["profile"] else [],
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
    """Return the timed runs, when each began, and, in a long run, the clocks read once a second between two of them."""
    clock, starts, ends, readings = time.perf_counter, [], [], []
    for _ in range(request["runs"]):
        starts.append(clock())
        run()
        ends.append(clock())
    began = starts[0]
    last = began
    while ends[-1] - began < request["seconds"]:
        if ends[-1] - last >= READING_SECONDS:
            last = ends[-1]
            since_ms = round(1e3 * (last - began), 3)
            readings.append({"started_ms": since_ms, "clocks_khz": clocks(), "hottest_c": hottest()})
            run()  # not counted: the reading has taken its place in the caches (measured: half as long again)
        starts.append(clock())
        run()
        ends.append(clock())
    samples = [1e3 * (end - start) for start, end in zip(starts, ends)]  # noqa: B905 - Python 3.6
    return samples, [round(1e3 * (start - began), 3) for start in starts], readings


def stay_on(request):
    """Stay on the cores asked for, or on as many of the fastest as there are threads; None where nothing is fixed.

    It comes before the session is made: its threads inherit the cores.
    """
    if not hasattr(os, "sched_setaffinity") or request["cores"] == []:
        return None
    allowed = sorted(os.sched_getaffinity(0))
    chosen = sorted(request["cores"] or fastest([(speed(c), sibling_rank(c), c) for c in allowed], request["threads"]))
    try:
        os.sched_setaffinity(0, chosen)
    except OSError:
        message = "cores {}: the system gives {} only".format(chosen, allowed)
        raise InputError(message) from None
    return chosen


def fastest(cores, count):
    """Return the numbers of *count* of the *cores*, each (speed, rank among its siblings, number).

    The faster come first, then those that share their core with none of the chosen, then the later ones: the first
    serves most of the system's interrupts.
    """
    return [number for _, _, number in sorted(cores, key=lambda core: (-core[0], core[1], -core[2]))[:count]]


def speed(core):
    """Return how fast a core is among its neighbours; the first of the kernel's numbers that there is."""
    folder = "/sys/devices/system/cpu/cpu{}".format(core)
    found = read_all(folder, "cpufreq/cpuinfo_max_freq") + read_all(folder, "cpu_capacity")
    return int(found[0]) if found and found[0].isdigit() else 0


def sibling_rank(core):
    """Return 0 for a core of its own, 1 for the second thread of one."""
    text = (read_all("/sys/devices/system/cpu/cpu{}/topology".format(core), "thread_siblings_list") or [str(core)])[0]
    return 0 if text.replace("-", ",").split(",")[0] == str(core) else 1


def require_batch(session, batch):
    """Raise where the file fixes another batch than asked for."""
    if not session.get_inputs():
        if batch > 1:
            message = "it has no input that could be a batch, asked was {}".format(batch)
            raise InputError(message)
        return
    first = session.get_inputs()[0]
    if batch > 1 and first.shape and isinstance(first.shape[0], int) and first.shape[0] != batch:
        message = "its input '{}' is fixed at a batch of {}, asked was {}".format(first.name, first.shape[0], batch)
        raise InputError(message)


def golden_samples(session, request):
    """Return the golden samples as (inputs, outputs) by name, as large as the batch; none where none is asked.

    A file whose first size is fixed takes them one at a time; where it is open, a sample of the batch repeats them.
    """
    import numpy as np  # noqa: PLC0415 - its absence has been answered

    if request["golden"] is None:
        return []
    arrays = dict(np.load(request["golden"], allow_pickle=False))
    names = [given.name for given in session.get_inputs()]
    expected = [given.name for given in session.get_outputs()]
    missing = [name for name in names + expected if name not in arrays]
    if missing:
        kind = "input" if missing[0] in names else "output"
        message = "the golden file has no {} '{}'; is it of another network?".format(kind, missing[0])
        raise InputError(message)
    counts = sorted({len(arrays[name]) if arrays[name].ndim else 0 for name in names + expected})
    if len(counts) != 1 or counts == [0]:
        message = "the golden file's arrays have {} rows; expected one for each sample, the same number in all"
        raise InputError(message.format(" and ".join(map(str, counts))))
    rows = counts[0]
    samples = []
    for start in range(rows):
        chosen = [(start + step) % rows for step in range(request["batch"])]
        samples.append(({n: arrays[n][chosen] for n in names}, {n: arrays[n][chosen] for n in expected}))
    return samples


def check(session, golden):
    """Return how many golden samples were run and by how much an output differs at most; None without any."""
    import numpy as np  # noqa: PLC0415 - its absence has been answered

    largest = None
    for inputs, outputs in golden:
        for name, wanted in outputs.items():
            got = session.run([name], inputs)[0].astype("float64")
            difference = float(np.abs(got - wanted).max()) if got.shape == wanted.shape else float("inf")
            largest = max(largest or 0.0, difference if difference == difference else float("inf"))  # noqa: PLR0124 - NaN
    if not golden or largest is None:
        return None
    return {"samples": len(golden), "largest_difference": min(largest, sys.float_info.max)}


def profiled(ort, options, request, feeds):
    """Return the profile of a session of its own: writing a trace makes every inference slower."""
    options.enable_profiling = True
    options.profile_file_prefix = "profile"  # where this runs: in a folder of its own
    session = ort.InferenceSession(request["model"], options, providers=[request["provider"]])
    runs = min(PROFILED_RUNS, request["runs"])
    for _ in range(runs):
        session.run(None, feeds)
    return profile(session.end_profiling(), runs)


def warm(run, runs):
    """Run at least *runs* times and until two windows in a row have about the same median; return those times."""
    import numpy as np  # noqa: PLC0415 - its absence has been answered

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


def examples(session, batch):
    """Return numbers for every input."""
    return {given.name: example(given, batch) for given in session.get_inputs()}


def example(given, batch):
    """Return numbers of one input's type and shape; the first open size is *batch*, others are 1."""
    import numpy as np  # noqa: PLC0415 - its absence has been answered

    kinds = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in given.shape]
    if shape and not isinstance(given.shape[0], int):
        shape[0] = batch
    if given.type in kinds:
        return np.random.RandomState(0).standard_normal(shape).astype(kinds[given.type])
    return np.zeros(shape, given.type[len("tensor(") : -1])


def profile(path, runs):
    """Return what each operator takes of one inference in ONNX Runtime's trace of so many *runs*, the longest first."""
    events = json.loads(Path(path).read_text())
    Path(path).unlink()
    totals = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = (event["args"]["op_name"], event["args"].get("provider", ""))
            count, spent = totals.get(key, (0, 0))
            totals[key] = (count + 1, spent + event["dur"])
    rows = [
        {"operator": o, "provider": p, "calls": n / runs, "ms": t / 1e3 / runs} for (o, p), (n, t) in totals.items()
    ]
    return sorted(rows, key=lambda row: -row["ms"])


def machine():
    """Return what may have disturbed a measurement: clocks, throttling, temperature, and how busy the machine is."""
    return {
        "machine": platform.machine(),
        "system": "{} {}".format(platform.system(), platform.release()),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "board": board(),
        "core_parts": core_parts(cpu_facts()),
        "cpus_present": count_cpus("".join(read_all("/sys/devices/system/cpu", "present"))),
        "python": platform.python_version(),
        "governors": sorted(set(read_all("/sys/devices/system/cpu", "cpu[0-9]*/cpufreq/scaling_governor"))),
        "clocks_khz": clocks(),
        "temperatures_c": temperatures(),
        "throttled": said_by("vcgencmd", "get_throttled"),
        "capped": capped(),
        "throttle_count": sum(
            int(n) for n in read_all("/sys/devices/system/cpu", "cpu[0-9]*/thermal_throttle/*_count")
        ),
        "power_mode": said_by("nvpmodel", "-q"),
        "clock_report": said_by("jetson_clocks", "--show"),
        "monotonic_s": time.monotonic(),
        "load": os.getloadavg()[0],
        "busy_ticks": busy_ticks(),
        "own_ticks": int(sum(os.times()[:2]) * os.sysconf("SC_CLK_TCK")),
    }


def clocks():
    """Return the clock of every core in kHz, as far as the kernel tells them."""
    found = read_all("/sys/devices/system/cpu", "cpu[0-9]*/cpufreq/scaling_cur_freq")
    return [int(text) for text in found if text.isdigit()]


def temperatures():
    """Return every temperature in degrees Celsius."""
    return [int(text) / 1e3 for text in read_all("/sys/class/thermal", "thermal_zone*/temp") if text.isdigit()]


def hottest():
    """Return the highest temperature, None where there is none."""
    return max(temperatures(), default=None)


def capped():
    """Return the parts whose clock the kernel holds down for their heat."""
    found = []
    for folder in sorted(Path("/sys/class/thermal").glob("cooling_device*")):
        kind, state = read_all(folder, "type"), read_all(folder, "cur_state")
        if kind and state and "freq" in kind[0] and state[0].isdigit() and int(state[0]) > 0:
            found.append(kind[0])
    return found


def cpu_name():
    """Return the processor's name."""
    lines = cpu_facts().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    model = [text.strip("\0") for text in read_all("/proc/device-tree", "model")]
    return (model + names + [platform.processor() or "unknown"])[0]


def cpu_facts():
    """Return what the kernel says of its processors, nothing where it does not."""
    path = Path("/proc/cpuinfo")
    return path.read_text(errors="replace") if path.is_file() else ""


def board():
    """Return the names of the board: those in its device tree, the nearest first, and its model.

    A container hides the tree; kernels of Raspberry Pi OS repeat the model in /proc/cpuinfo.
    """
    texts = read_all("/proc/device-tree", "compatible") + read_all("/proc/device-tree", "model")
    repeated = [line.partition(":")[2].strip() for line in cpu_facts().splitlines() if line.startswith("Model")]
    return list(dict.fromkeys([name for text in texts for name in text.split("\0") if name] + repeated))


def core_parts(facts):
    """Return who made each core and which one it is, such as ``0x41 0xd0b``, by the CPU's number.

    *facts* is /proc/cpuinfo of ARM's; old kernels describe one CPU for all, and x86 has no such lines.
    """
    found, number = {}, None
    for line in facts.splitlines():
        key, _, value = (word.strip() for word in line.partition(":"))
        if key == "processor" and value.isdigit():
            number = int(value)
        elif key in ("CPU implementer", "CPU part") and number is not None:
            found.setdefault(number, {})[key] = value.lower()
    return {n: "{CPU implementer} {CPU part}".format(**one) for n, one in found.items() if len(one) == 2}  # noqa: PLR2004


def count_cpus(listed):
    """Return how many CPUs a list such as ``0-3,6`` names, None where there is none."""
    ranges = [part.split("-") for part in listed.split(",")] if listed else []
    return sum(int(one[-1]) - int(one[0]) + 1 for one in ranges) or None


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
