"""edgekd bench: how long a network really takes, here or on a device."""

import os
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from edgekd.cli.finite import require_finite
from edgekd.cli.options import JsonOption, TargetOption
from edgekd.core.disk import disk_errors, require_room, write_atomically
from edgekd.core.errors import ConfigError
from edgekd.targets import Target, cpu_numbers, load_target

if TYPE_CHECKING:
    from edgekd.bench.golden import GoldenFile
    from edgekd.bench.history import Comparison
    from edgekd.bench.measurement import Measurement
    from edgekd.bench.protocol import Protocol
    from edgekd.bench.request import Request


def command(  # noqa: PLR0913 - one for each option
    model: Annotated[Path | None, typer.Argument(help="An ONNX file. Left away with --history: list all.")] = None,
    target: TargetOption = None,
    *,
    on: Annotated[
        str,
        typer.Option("--on", help="local, ssh:HOST, adb[:SERIAL], or emulator[:CORE] for instructions, not time."),
    ] = "local",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=256, help="[default: the target's, or 1]")
    ] = None,
    cores: Annotated[
        str, typer.Option("--cores", help="auto: the target's, or the fastest; any: no pinning; or a list, 4-7.")
    ] = "auto",
    runs: Annotated[int | None, typer.Option("--runs", min=1, help="[default: the target's, or 200]")] = None,
    warmup_runs: Annotated[int | None, typer.Option("--warmup-runs", min=1, help="At least so many.")] = None,
    cool_down: Annotated[
        float | None, typer.Option("--cool-down", min=0, help="Seconds of rest before. [default: the target's, or 0]")
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", help="Of ONNX Runtime. [default: the target's, or the CPU's]")
    ] = None,
    allow_elsewhere: Annotated[
        bool, typer.Option("--allow-elsewhere", help="Measure although nodes run with another provider.")
    ] = False,
    python: Annotated[str, typer.Option("--python", help="The device's Python with ONNX Runtime.")] = "python3",
    batch: Annotated[
        str, typer.Option("--batch", help="Samples at once, such as 1,4,16, where the file leaves it open.")
    ] = "1",
    sustained: Annotated[float, typer.Option("--sustained", min=0, help="Go on for so many minutes.")] = 0.0,
    golden: Annotated[
        str, typer.Option("--golden", help="auto: the bundle's golden samples; none; or an .npz file of your own.")
    ] = "auto",
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="How far an answer may be from your own .npz file's.")
    ] = 1e-3,
    profile: Annotated[bool, typer.Option("--profile", help="Also the time of each operator.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Also what was measured of this file before.")] = False,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="Also the ratio to a stored measurement, a JSON file.")
    ] = None,
    pytest_benchmark: Annotated[
        Path | None, typer.Option("--pytest-benchmark", help="Write a file that pytest-benchmark compares.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the raw samples as CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the latency of a network: raw samples, and what speaks against them.

    Exit codes: 2 bad input, 5 the device cannot run it, 6 it cannot be reached, 7 its disk is full, 8 no runtime there
    or an unknown one, 9 another execution provider ran it, 10 it throttled, 11 it answers the golden inputs with other
    numbers, 12 a stored measurement is none or not comparable.
    """
    if model is None:
        settings: dict[str, object] = {
            "--target": target,
            "--on": on != "local",
            "--threads": threads,
            "--cores": cores != "auto",
        }
        settings |= {"--runs": runs, "--warmup-runs": warmup_runs, "--cool-down": cool_down, "--provider": provider}
        settings |= {"--allow-elsewhere": allow_elsewhere, "--python": python != "python3", "--batch": batch != "1"}
        settings |= {"--sustained": sustained, "--golden": golden != "auto", "--profile": profile}
        _require_alone(history, settings | {"--compare": compare, "--pytest-benchmark": pytest_benchmark})
        _tell_history(as_json=as_json, as_csv=as_csv)
        return
    facts = None if target is None else load_target(target)
    if on.partition(":")[0] == "emulator":
        timing = {"--threads": threads, "--runs": runs, "--sustained": sustained, "--profile": profile}
        timing |= {"--warmup-runs": warmup_runs, "--cool-down": cool_down, "--cores": cores != "auto"}
        stored_ones = {"--history": history, "--compare": compare, "--pytest-benchmark": pytest_benchmark}
        _require_none(timing | stored_ones | {"--csv": as_csv, "--batch": batch != "1", "--provider": provider})
        _emulate(model, facts, on.partition(":")[2], _golden(model, golden, tolerance), as_json=as_json)
        return
    import_module("edgekd.bench.places").place_of(on)  # before anything else is looked at
    require_finite({"--cool-down": cool_down, "--sustained": sustained, "--tolerance": tolerance})
    protocol = _protocol(facts, cool_down)
    wanted = threads or (facts.benchmark.threads if facts else 1)
    asked = import_module("edgekd.bench.request").Request(
        model=str(model),
        threads=wanted,
        cores=_cores(cores, facts, wanted, on),
        runs=runs or (facts.benchmark.runs if facts else 200),
        warmup_runs=warmup_runs or (facts.benchmark.warmup_runs if facts else 50),
        provider=provider or (facts.runtime.execution_provider if facts else "CPUExecutionProvider"),
        allow_elsewhere=allow_elsewhere,
        python=python,
        seconds=60 * sustained,
        timeout_s=3600 + 60 * sustained,
        profile=profile,
    )
    stored = import_module("edgekd.bench.history")
    folder = stored.history_folder(os.environ)
    require_room(folder / "measurement.json", advice="give another folder as EDGEKD_HISTORY")
    if pytest_benchmark is not None:
        _require_folder(pytest_benchmark)
    earlier = stored.recall(folder, model.name) if history else ()
    before = None if compare is None else stored.read_measurement(compare)
    samples = _golden(model, golden, tolerance)
    setting = _Setting(on=on, target=facts, protocol=protocol, golden=samples)
    found, paths = [], []
    for size in _batches(batch):  # each is kept before the next begins, which may fail
        found.append(_measured(model, msgspec.structs.replace(asked, batch=size), setting))
        paths.append(stored.remember(folder, found[-1]))
    compared = None if before is None else stored.compared(compare, before, found[0])
    _require_unthrottled(found, paths)
    if as_json:
        typer.echo(_json(found, compared))
    if as_csv:
        typer.echo(import_module("edgekd.bench.telling").csv_of(found), nl=False)
    elif not as_json:
        _tell(found, earlier, protocol)
    _write_pytest_benchmark(pytest_benchmark, found)
    if compared is not None:
        stored.require_compared(compared)
        if not as_json and not as_csv:
            said = f"{compared.ratio:.3f} times the median of {compare}"
            typer.echo(f"{said}; whether that is a slowdown, edgekd gate decides.")


class _Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Where and against what is measured."""

    on: str
    target: Target | None
    protocol: "Protocol | None"
    golden: "GoldenFile | None"


def _measured(model: Path, asked: "Request", setting: _Setting) -> "Measurement":
    """Return one measurement, in a fresh process."""
    emulators, protocols = import_module("edgekd.bench.emulator"), import_module("edgekd.bench.protocol")
    found: Measurement = import_module("edgekd.bench.measuring").measure(
        model,
        protocols.with_flags(asked, setting.target, model),
        where=setting.on,
        find_emulator=lambda: emulators.find_emulator(emulators.emulator_folder(os.environ)),
        golden=setting.golden,
        protocol=setting.protocol,
    )
    return found


def _emulate(model: Path, target: Target | None, core: str, golden: "GoldenFile | None", *, as_json: bool) -> None:
    """Count instructions on an emulated core and print them."""
    emulators, emulated = import_module("edgekd.bench.emulator"), import_module("edgekd.bench.emulated")
    name = emulated.core_of(core, target)
    found = emulated.emulate(model, name, emulators.find_emulator(emulators.emulator_folder(os.environ)), golden)
    telling = import_module("edgekd.bench.telling")
    typer.echo(_formatted(found) if as_json else "\n".join(telling.told_emulation(found)))


def _require_alone(is_history: bool, others: Mapping[str, object]) -> None:  # noqa: FBT001 - one question
    """Raise ConfigError where no model is given for what needs one: anything but the history."""
    given = [name for name, value in others.items() if value]
    if given or not is_history:
        needing = f"{given[0]}: " if given else ""
        message = f"{needing}no model given; give an ONNX file, or --history alone for what was measured before."
        raise ConfigError(message)


def _tell_history(*, as_json: bool, as_csv: bool) -> None:
    """Print all that was measured before, the oldest first; nothing is measured."""
    stored, telling = import_module("edgekd.bench.history"), import_module("edgekd.bench.telling")
    folder = stored.history_folder(os.environ)
    found = stored.recall_all(folder)
    if as_json:
        typer.echo(_formatted([msgspec.to_builtins(one) | {"summary": one.summary()} for one in found]))
    elif as_csv:
        typer.echo(telling.csv_of(found), nl=False)
    else:
        for line in tuple(telling.told_history(found)) or (f"nothing was measured yet: {folder} is empty",):
            typer.echo(line)


def _require_none(options: Mapping[str, object]) -> None:
    """Raise ConfigError for the first option that is given: an emulator has no use for it."""
    for name, given in options.items():
        if given:
            message = f"{name}: an emulator counts the instructions of one inference in one thread; leave it away."
            raise ConfigError(message)


def _golden(model: Path, asked: str, tolerance: float) -> "GoldenFile | None":
    """Return the golden samples asked for."""
    if asked == "none":
        return None
    module = import_module("edgekd.bench.golden")
    if asked == "auto":
        found: GoldenFile | None = module.golden_of(model)
        return found
    if not Path(asked).is_file():
        message = f"--golden: {asked!r} is no file; expected auto, none, or an .npz file."
        raise ConfigError(message)
    module.require_samples(Path(asked))
    own: GoldenFile = module.GoldenFile(path=Path(asked), tolerance=tolerance)
    return own


def _protocol(target: Target | None, cool_down_s: float | None) -> "Protocol | None":
    """Return the target's protocol, with another rest where one is asked for."""
    if target is None:
        if cool_down_s:
            message = "--cool-down: the rest is part of a target's protocol; give --target too."
            raise ConfigError(message)
        return None
    found: Protocol = import_module("edgekd.bench.protocol").protocol_of(target)
    return found if cool_down_s is None else msgspec.structs.replace(found, cool_down_s=cool_down_s)


def _cores(asked: str, target: Target | None, threads: int, on: str) -> tuple[int, ...] | None:
    """Return the cores to stay on, None for the fastest; this machine's numbers are not the target's."""
    if asked == "any":
        return ()
    if asked == "auto":
        return None if target is None or on == "local" else cpu_numbers(target.cluster.cpus)[:threads]
    if not re.fullmatch(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*", asked):
        message = f"--cores: {asked!r} given; expected auto, any, or numbers such as 4-7 or 0,2."
        raise ConfigError(message)
    numbers = cpu_numbers(asked)
    if len(set(numbers)) != len(numbers) or not numbers:
        message = f"--cores: {asked!r} given; expected each core once, and ranges that go up, such as 4-7."
        raise ConfigError(message)
    return numbers


def _batches(asked: str) -> tuple[int, ...]:
    """Return the batches of a list such as ``1,4,16``."""
    words = asked.split(",")
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        message = f"--batch: {asked!r} given; expected numbers from 1 up, such as 1,4,16."
        raise ConfigError(message)
    return tuple(map(int, words))


def _require_unthrottled(found: "Sequence[Measurement]", paths: Sequence[Path]) -> None:
    """Raise ThrottledError for the first measurement in which the device lowered its clocks."""
    for one, path in zip(found, paths, strict=True):
        if one.refused is not None:
            message = (
                f"{one.model} on {one.where}: it throttled: {one.refused}; no time is given. Cool it and measure "
                f"again; the samples are kept in {path}."
            )
            raise import_module("edgekd.bench.device_errors").ThrottledError(message)


def _json(found: "Sequence[Measurement]", compared: "Comparison | None") -> str:
    """Return the measurements with what is derived of them; of one batch a single one. The first one is compared."""
    known = [
        msgspec.to_builtins(one)
        | {
            "summary": one.summary(),
            "fingerprint": one.fingerprint,
            "by_minute_ms": one.by_minute_ms(),
            "criticism": list(import_module("edgekd.bench.criticism").criticism(one)),
        }
        for one in found
    ]
    if compared is not None:
        known[0]["comparison"] = compared
    return _formatted(known[0] if len(known) == 1 else known)


def _formatted(document: Any) -> str:  # noqa: ANN401 - whatever msgspec encodes
    """Return JSON for people."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()


def _require_folder(path: Path) -> None:
    """Raise ConfigError where *path* could not be written because of its folder: before anything is measured."""
    if not path.absolute().parent.is_dir():
        message = f"--pytest-benchmark: {path.parent}: no such folder; make it first."
        raise ConfigError(message)
    require_room(path, advice="give another file to --pytest-benchmark")


def _write_pytest_benchmark(path: Path | None, found: "Sequence[Measurement]") -> None:
    """Write the file for pytest-benchmark, if one is asked for."""
    if path is not None:
        document = import_module("edgekd.bench.pytest_benchmark").pytest_benchmark_json(found)
        with disk_errors(path):
            write_atomically(path, _formatted(document).encode())


def _tell(found: "Sequence[Measurement]", earlier: "tuple[Measurement, ...]", protocol: "Protocol | None") -> None:
    """Print what was measured, what speaks against it, and what was measured before."""
    telling = import_module("edgekd.bench.telling")
    for one in found:
        for line in (*telling.told(one, protocol), *telling.told_before(earlier, one)):
            typer.echo(line)
