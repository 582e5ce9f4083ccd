"""How near `edgekd predict` comes on this host, calibrated in five minutes, for networks it has not seen.

    python benchmarks/predict_host.py build FOLDER       # twenty networks and twenty random ones, FP32 and INT8
    python benchmarks/predict_host.py build FOLDER TIMM  # twenty of the files that unseen_timm.py wrote to TIMM
    python benchmarks/predict_host.py calibrate FOLDER   # under five minutes, a machine that does nothing else
    python benchmarks/predict_host.py relearn FOLDER     # only where the code has changed since
    python benchmarks/predict_host.py measure FOLDER     # eight passes over all files, the same
    python benchmarks/predict_host.py summary FOLDER     # predicts, compares, writes the result

INT8 files have Q/DQ where `edgekd quantize` puts them for ONNX Runtime on x86; their scales are nominal, since no time
depends on them. The random networks are of the suite's own kind, with seeds that no calibration uses. The networks of
unseen.py were looked at while the estimate was made; nobody has looked at those of timm, the fresh ones. These go the
way of a user's file: FP32 is timed as it came, INT8 is made of its canonical form.
"""

import gzip
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import onnx
import onnxruntime as ort
from onnx import ModelProto
from recording import RESULTS, Promise, at_least, write
from unseen import UNSEEN, exported

from edgekd.bench import runner
from edgekd.export.canonical import canonicalize
from edgekd.export.shapes import fix_batch
from edgekd.networks.blackbox import read_onnx
from edgekd.predict.calibrated import Asked, CalibratedEstimate, calibrated_estimate
from edgekd.predict.calibrating import learned_from
from edgekd.predict.nominal import nominal_int8
from edgekd.predict.suite import suite_network
from edgekd.predict.table import Table, costs_of, read_table, write_table

COMMAND: Final = Path(sys.executable).with_name("edgekd")
NAME: Final = "this-host"
SECONDS: Final = 250
RANDOM_SEEDS: Final = range(1_000_000, 1_000_400)
RANDOM_NETWORKS: Final = 20
FRESH_NETWORKS: Final = 20
LEAST_NODES: Final = 20
PASSES: Final = 8
WARMUP_SECONDS: Final = 0.05
SECONDS_OF_A_PASS: Final = 0.12
LEAST_RUNS: Final = 5
NEAR: Final = 0.1
PLACEMENT: Final = "onnxruntime-x86"
KINDS: Final[Mapping[str, str]] = {
    "fresh": "fresh networks, which nobody looked at",
    "random": "random networks",
    "": "unseen networks",
}
"""By the first word of a network's name; the others have no such word."""
JUDGED: Final = ("", "fresh")


def build(folder: Path, timm: Path | None = None) -> None:
    """Write the twenty networks, and as many random ones, in both precisions; with *timm* the fresh ones instead."""
    if timm is not None:
        _build_fresh(folder, timm)
        return
    for name in UNSEEN:
        _write_both(fix_batch(exported(name)), folder, name)
    random = [seed for seed in RANDOM_SEEDS if len(suite_network(seed).graph.node) >= LEAST_NODES]
    for seed in random[:RANDOM_NETWORKS]:
        _write_both(suite_network(seed), folder, f"random {seed}")


def _build_fresh(folder: Path, timm: Path) -> None:
    """Write the first twenty files in *timm* that run in both precisions, and why those before were left out."""
    written, left_out = 0, {}
    for file in sorted(timm.glob("*.onnx")):
        if written == FRESH_NETWORKS:
            break
        if reason := _left_out(file, folder):
            left_out[file.stem] = reason
        else:
            written += 1
        print(f"{file.stem:<28} {reason or 'written'}", flush=True)
    if written < FRESH_NETWORKS:
        sys.exit(f"{timm}: {written} files there run in both precisions, {FRESH_NETWORKS} are needed; export more.")
    (folder / "left_out.json").write_text(json.dumps(left_out))


def _left_out(file: Path, folder: Path) -> str:
    """Write the network of *file* in both precisions and run each once; return why it is left out, if it is."""
    name = f"fresh {file.stem}"
    try:
        model = fix_batch(read_onnx(file))
        _write_both(model, folder, name, canonicalize(model))
        for precision in ("fp32", "int8"):
            _caller(folder / f"{name}.{precision}.onnx")()
    except Exception as error:  # noqa: BLE001 - onnxscript and ONNX Runtime raise a dozen unrelated types
        for precision in ("fp32", "int8"):
            (folder / f"{name}.{precision}.onnx").unlink(missing_ok=True)
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return ""


def _write_both(model: ModelProto, folder: Path, name: str, canonical: ModelProto | None = None) -> None:
    """Write *model* in FP32 and, made of its *canonical* form (None: it has that), in INT8."""
    onnx.save(model, folder / f"{name}.fp32.onnx")
    onnx.save(nominal_int8(canonical or model, PLACEMENT), folder / f"{name}.int8.onnx")


def calibrate(folder: Path) -> None:
    """Calibrate this host as a user does."""
    began = time.monotonic()
    words = ("targets", "calibrate", "--name", NAME, "--seconds", str(SECONDS), "--out", folder / "table.json")
    subprocess.run([COMMAND, *words], check=True)
    (folder / "calibrate.json").write_text(json.dumps({"seconds": time.monotonic() - began}))


def relearn(folder: Path) -> None:
    """Derive the table anew from the raw samples of the calibration, with the present code."""
    path = folder / "table.json"
    write_table(path, learned_from(msgspec.convert(msgspec.json.decode(path.read_bytes()), Table)))


def measure(folder: Path) -> None:
    """Time every file in each pass, in bursts of its own runs."""
    files = sorted(folder.glob("*.onnx"))
    samples: dict[str, list[list[float]]] = {file.stem: [] for file in files}
    before = runner.machine()  # type: ignore[no-untyped-call]  # it runs on Python 3.6
    for _ in range(PASSES):
        for file in files:
            samples[file.stem].append(_burst(file))
    after = runner.machine()  # type: ignore[no-untyped-call]
    found = {"samples_ms": samples, "before": before, "after": after}
    (folder / "measured.json").write_text(json.dumps(found))


def _burst(file: Path) -> list[float]:
    """Return the milliseconds of a burst of runs of *file*, after warming up."""
    call = _caller(file)
    _runs(call, WARMUP_SECONDS)
    return _runs(call, SECONDS_OF_A_PASS)


def _caller(file: Path) -> Callable[[], Any]:
    """Return what runs *file* once, in one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    feeds = runner.examples(session, 1)  # type: ignore[no-untyped-call]
    call: Callable[[], Any] = runner.caller(session, feeds, {"provider": runner.CPU})  # type: ignore[no-untyped-call]
    return call


def _runs(call: Callable[[], Any], seconds: float) -> list[float]:
    """Return the milliseconds of each run, as edgekd bench makes it, until *seconds* are over."""
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < LEAST_RUNS or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - start))
    return taken


def summary(folder: Path) -> None:
    """Predict every file, compare it with its measured median, and judge."""
    measured = json.loads((folder / "measured.json").read_text())
    table = read_table(folder / "table.json")
    costs = costs_of(table)
    rows = [
        _row(calibrated_estimate(Asked(path=folder / f"{stem}.onnx"), table, costs, where="table.json"), stem, passes)
        for stem, passes in measured["samples_ms"].items()
    ]
    judged: list[Promise] = []
    found: dict[str, Any] = {
        "rows": rows,
        "calibrate_seconds": json.loads((folder / "calibrate.json").read_text()),
        "fresh_left_out": json.loads((folder / "left_out.json").read_text()),
    }
    for precision in ("fp32", "int8"):
        own = [row for row in rows if row["precision"] == precision]
        for word, kind in KINDS.items():
            some = [row for row in own if _word(row["network"]) == word]
            near = sum(abs(row["error"]) <= NEAR for row in some) / len(some)
            covered = sum(row["least_ms"] <= row["measured_ms"] <= row["most_ms"] for row in some) / len(some)
            errors = sorted(abs(row["error"]) for row in some)
            said = f"{precision}, {len(some)} {kind}"
            found[said] = {"within_10_percent": near, "median_error": statistics.median(errors), "covered": covered}
            print(said, found[said])
            if word in JUDGED:
                judged.append(at_least(f"{said}: part within 10 % of the measured median", 0.9, near))
    (RESULTS / "predict_host").mkdir(parents=True, exist_ok=True)
    for name in ("table.json", "measured.json"):
        packed = gzip.compress((folder / name).read_bytes(), mtime=0)
        (RESULTS / "predict_host" / f"{name}.gz").write_bytes(packed)
    sys.exit(not write("predict_host", found, judged))


def _word(network: str) -> str:
    """Return the first word of the name *network* if it tells its kind."""
    first = network.partition(" ")[0]
    return first if first in KINDS else ""


def _row(said: CalibratedEstimate, stem: str, passes: list[list[float]]) -> dict[str, Any]:
    """Return what was predicted and measured of a file."""
    medians = [statistics.median(burst) for burst in passes]
    measured = statistics.median([taken for burst in passes for taken in burst])
    name, _, precision = stem.rpartition(".")
    row = {
        "network": name,
        "precision": precision,
        "measured_ms": measured,
        "medians_of_passes_ms": medians,
        "runs": sum(map(len, passes)),
        "kernels": len(said.estimated_layers),
        "error": said.estimated_ms / measured - 1,
        "estimated_ms": said.estimated_ms,
        "least_ms": said.least_ms,
        "most_ms": said.most_ms,
        "caveats": said.caveats,
    }
    told = f"{measured:9.3f} ms, estimated {row['estimated_ms']:9.3f}: {row['error']:+.1%}"
    print(f"{name:<28} {precision} {told}")
    return row


STEPS: Final[Mapping[str, Callable[..., None]]] = {
    "build": build,
    "calibrate": calibrate,
    "relearn": relearn,
    "measure": measure,
    "summary": summary,
}

if __name__ == "__main__":
    chosen, *places = sys.argv[1:]
    Path(places[0]).mkdir(parents=True, exist_ok=True)
    STEPS[chosen](*map(Path, places))
