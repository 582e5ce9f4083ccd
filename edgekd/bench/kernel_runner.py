"""Time the kernels of many small ONNX files where they lie: the same script here and, copied over, on a device.

``python3 kernel_runner.py REQUEST`` reads a request as JSON and prints what it measured as JSON. Beside it lies
``runner.py``, whose account of the machine it takes; like that it needs Python 3.6, numpy and ONNX Runtime.
"""

import json
import sys
import time
from pathlib import Path

import runner

FORMAT = 1
TOGETHER = 12
"""Files that take turns: what disturbs the machine for a moment then hits a few samples of many kernels."""
ROUNDS = 3
WARMUP_RUNS = 3
LEAST_RUNS, MOST_RUNS = 3, 15
"""Of each file in each round, with the trace and as often without."""
SECONDS_OF_A_FILE = 0.012
"""In each round, with the trace and as long without."""


def main(path):
    """Measure the files that the request at *path* names until its seconds are over, and print what was found."""
    request = json.loads(Path(path).read_text())
    before = runner.machine()
    try:
        import onnxruntime as ort  # noqa: PLC0415 - its absence is an answer, not a traceback
    except ImportError as error:
        print(json.dumps({"error": "no ONNX Runtime for {} there: {}".format(sys.executable, error)}))
        return
    try:
        networks = measure(ort, request)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a dozen unrelated types from its native code
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(json.dumps({"error": "ONNX Runtime {} cannot run the suite: {}".format(ort.__version__, first)}))
        return
    found = {"networks": networks, "before": before, "after": runner.machine()}
    found.update(format=FORMAT, onnxruntime=ort.__version__)
    print(json.dumps(found))


def measure(ort, request):
    """Return the samples of each file that there was time for, in the request's order; at least one group of them."""
    began, found = time.perf_counter(), []
    for start in range(0, len(request["models"]), TOGETHER):
        if found and time.perf_counter() - began > request["seconds"]:
            break
        group = [Traced(ort, path, request) for path in request["models"][start : start + TOGETHER]]
        for _ in range(ROUNDS):
            for one in group:
                one.run()
        found += [one.found() for one in group]
    return found


class Traced:
    """One file with two sessions: one that writes a trace, and one that does not, whose times are those of an app."""

    def __init__(self, ort, path, request):
        """Open *path* and run it until its memory is there."""
        self.path = path
        self.session = ort.InferenceSession(path, options(ort, request), providers=[request["provider"]])
        tracing = options(ort, request)
        tracing.enable_profiling = True
        tracing.profile_file_prefix = str(Path(path).with_suffix(""))
        self.traced = ort.InferenceSession(path, tracing, providers=[request["provider"]])
        self.feeds = {given.name: runner.example(given, 1) for given in self.session.get_inputs()}
        self.samples = []
        for _ in range(WARMUP_RUNS):
            self.traced.run(None, self.feeds)
            taken_ms = runner.timed_ms(self.session, self.feeds)
        self.runs = int(min(MOST_RUNS, max(LEAST_RUNS, SECONDS_OF_A_FILE / (1e-3 * taken_ms))))

    def run(self):
        """Take the samples of one round."""
        for _ in range(self.runs):
            self.traced.run(None, self.feeds)
        self.samples += [runner.timed_ms(self.session, self.feeds) for _ in range(self.runs)]

    def found(self):
        """Return the file's name, its samples in milliseconds, and its kernels in the order in which they ran."""
        return {
            "model": Path(self.path).name,
            "samples_ms": self.samples,
            "kernels": kernels(self.traced.end_profiling(), WARMUP_RUNS),
        }


def options(ort, request):
    """Return how a session is opened."""
    made = ort.SessionOptions()
    made.intra_op_num_threads, made.inter_op_num_threads = request["threads"], 1
    made.log_severity_level = 3
    return made


def kernels(path, warmup_runs):
    """Return each node of the trace at *path*: name, operator, shapes and the microseconds of every run but the first.

    A trace's durations are whole microseconds, cut off.
    """
    events = json.loads(Path(path).read_text())
    Path(path).unlink()
    found = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            told = event["args"]
            key = (told["node_index"], event["name"])
            row = found.setdefault(key, {"name": event["name"][: -len("_kernel_time")], "samples_us": []})
            row["samples_us"].append(event["dur"])
            row["operator"] = told["op_name"]
            row["inputs"], row["outputs"] = shapes(told["input_type_shape"]), shapes(told["output_type_shape"])
    for row in found.values():
        del row["samples_us"][:warmup_runs]
    return list(found.values())


def shapes(told):
    """Return element type and sizes of each tensor that a trace lists."""
    return [[kind, sizes] for one in told for kind, sizes in one.items()]


if __name__ == "__main__":
    main(sys.argv[1])
