"""Time the kernels of many small ONNX files where they lie: the same script here and, copied over, on a device.

``python3 kernel_runner.py REQUEST`` reads a request as JSON and prints what it measured as JSON. ``runner.py`` lies
beside it; like that it needs Python 3.6, numpy and ONNX Runtime, and nothing of edgekd.
"""

import json
import sys
import tarfile
import time
from pathlib import Path

try:
    import runner  # on a device it lies beside this file
except ImportError:
    from edgekd.bench import runner

TOGETHER = 12
"""Files that take turns: what disturbs the machine for a moment then hits a few samples of many kernels."""
ROUNDS = 3
WARMUP_RUNS = 3
LEAST_RUNS, MOST_RUNS = 3, 12
SECONDS_OF_A_FILE = 0.012
"""Each file runs so long in each round, but so many times at least and at most, with the trace and without."""
WEIGHTS = "weights.bin"


def main(path):
    """Measure what the request at *path* asks for and print it, or print the kind and the reason of a failure."""
    request = json.loads(Path(path).read_text())
    try:
        import numpy  # noqa: F401, ICN001, PLC0415 - its absence is an answer, not a traceback
        import onnxruntime as ort  # noqa: PLC0415 - the same
    except ImportError as error:
        runner.complain("runtime", "no ONNX Runtime for {} there: {}".format(sys.executable, error))
        return
    if runner.version_of(ort.__version__) < runner.version_of(request["least_runtime"]):
        wanted = "it has ONNX Runtime {}, at least {} is needed: older ones cannot read the suite"
        runner.complain("runtime", wanted.format(ort.__version__, request["least_runtime"]))
        return
    try:
        cores = runner.stay_on(request)
        before = runner.machine()
        networks = measure(ort, request)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a dozen unrelated types from its native code
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        runner.complain("device", "ONNX Runtime {} cannot run the suite: {}".format(ort.__version__, first))
        return
    found = {"version": ort.__version__, "cores": cores, "before": before, "after": runner.machine()}
    print(json.dumps(dict(found, networks=networks)))


def measure(ort, request):
    """Return the samples of each file that there was time for, in the archive's order; at least one group of them."""
    began, found = time.perf_counter(), []
    folder = unpacked(request)
    for start in range(0, len(request["models"]), TOGETHER):
        if found and time.perf_counter() - began > request["seconds"]:
            break
        group = [Traced(ort, folder / name, request) for name in request["models"][start : start + TOGETHER]]
        for _ in range(ROUNDS):
            for one in group:
                one.run()
        found += [one.found() for one in group]
    return found


def unpacked(request):
    """Return the folder of the files, with the one that holds all their weights: random numbers, the same for all."""
    import numpy as np  # noqa: PLC0415 - its absence has been answered

    folder = Path(request["folder"])
    with tarfile.open(str(folder / "suite.tar.gz")) as archive:
        for name in request["models"]:
            (folder / name).write_bytes(archive.extractfile(name).read())
    some = 0.05 * np.random.RandomState(0).standard_normal(1 << 18).astype("float32")
    np.resize(some, request["weight_bytes"] // some.itemsize + 1).tofile(str(folder / WEIGHTS))
    return folder


class Traced:
    """One file with two sessions: one that writes a trace, and one that does not, whose times are those of an app."""

    def __init__(self, ort, path, request):
        """Open *path* and run it until its memory is there."""
        self.path = path
        self.plain = ort.InferenceSession(str(path), options(ort, request), providers=[request["provider"]])
        tracing = options(ort, request)
        tracing.enable_profiling = True
        tracing.profile_file_prefix = str(path.with_suffix(""))
        self.traced = ort.InferenceSession(str(path), tracing, providers=[request["provider"]])
        self.feeds = runner.examples(self.plain, 1)
        self.call = runner.caller(self.plain, self.feeds, request)
        self.samples_ms = []
        for _ in range(WARMUP_RUNS):
            self.traced.run(None, self.feeds)
            taken_ms = runner.timed_ms(self.call)
        self.runs = int(min(MOST_RUNS, max(LEAST_RUNS, SECONDS_OF_A_FILE / (1e-3 * taken_ms))))

    def run(self):
        """Take the samples of one round; the first run of each session finds other networks in the caches."""
        for _ in range(1 + self.runs):
            self.traced.run(None, self.feeds)
        self.call()
        self.samples_ms += [runner.timed_ms(self.call) for _ in range(self.runs)]

    def found(self):
        """Return the file's name, its samples in milliseconds, and its kernels in the order in which they ran."""
        counted = [False] * WARMUP_RUNS + ROUNDS * ([False] + self.runs * [True])
        nodes = kernels(self.traced.end_profiling(), counted)
        return {"model": self.path.name, "samples_ms": self.samples_ms, "kernels": nodes}


def options(ort, request):
    """Return how a session is opened."""
    made = ort.SessionOptions()
    made.intra_op_num_threads, made.inter_op_num_threads = request["threads"], 1
    made.log_severity_level = 3
    return made


def kernels(path, counted):
    """Return each node of the trace at *path*: name, operator, shapes and the microseconds of every run *counted*.

    A trace's durations are whole microseconds, cut off.
    """
    events = json.loads(Path(path).read_text())
    Path(path).unlink()
    found = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            told = event["args"]
            row = found.setdefault((told["node_index"], event["name"]), {"samples_us": []})
            row["samples_us"].append(event["dur"])
            row["name"], row["operator"] = event["name"][: -len("_kernel_time")], told["op_name"]
            row["inputs"], row["outputs"] = shapes(told["input_type_shape"]), shapes(told["output_type_shape"])
    for row in found.values():
        row["samples_us"] = [taken for taken, counts in zip(row["samples_us"], counted) if counts]  # noqa: B905 - Python 3.6
    return list(found.values())


def shapes(told):
    """Return element type and sizes of each tensor that a trace lists."""
    return [[kind, sizes] for one in told for kind, sizes in one.items()]


if __name__ == "__main__":
    main(sys.argv[1])
