"""The gate by file names: each names an ONNX file, or stored samples of one."""

from pathlib import Path

import msgspec

from edgekd.bench.gate import GateSettings, Verdict, gate
from edgekd.bench.gate_samples import SUFFIX, read_samples, write_samples
from edgekd.bench.gate_stored import Like, StoredVerdict, gate_against_samples, judge_samples, record
from edgekd.core.errors import ConfigError
from edgekd.core.names import require_utf8


def judge_files(
    baseline: Path, candidate: Path, settings: GateSettings, *, threads: int | None
) -> Verdict | StoredVerdict:
    """Return whether *candidate* is slower than *baseline*; a name that ends with .json is that of stored samples.

    *threads*, where it is not given, is 1, or what stored samples were taken with. Raises ConfigError where the two
    cannot be compared.
    """
    require_file(baseline)
    require_file(candidate)
    if baseline.suffix != SUFFIX:
        if candidate.suffix == SUFFIX:
            message = f"{candidate}: stored samples have nothing to stand beside {baseline}; give both as ONNX files."
            raise ConfigError(message)
        return gate(baseline, candidate, msgspec.structs.replace(settings, threads=threads or 1))
    stored = read_samples(baseline)
    settings = msgspec.structs.replace(settings, threads=threads or stored.threads)
    if candidate.suffix == SUFFIX:
        if settings.threads != stored.threads:
            message = f"{baseline}: taken with {stored.threads} thread(s), asked were {threads}; leave out --threads."
            raise ConfigError(message)
        return judge_samples(stored, read_samples(candidate), settings, names=(str(baseline), str(candidate)))
    return gate_against_samples(stored, str(baseline), candidate, settings)


def save_samples(
    network: Path, path: Path, settings: GateSettings, *, threads: int | None = None, like: Path | None = None
) -> None:
    """Write samples of the ONNX file *network* to *path*, taken as those in the file *like* were.

    *threads*, where it is not given, is that of *like*, or 1. Raises ConfigError where that cannot be.
    """
    if path.suffix != SUFFIX:
        message = f"{path}: samples are known by the ending {SUFFIX}; give the file such a name."
        raise ConfigError(message)
    require_network(network, why="samples are taken of a network")
    if not path.parent.is_dir():
        message = f"{path.parent}: no such folder; make it, or give another name for the samples."
        raise ConfigError(message)
    alike = None if like is None else Like(samples=read_samples(like), name=str(like))
    chosen = threads or (1 if alike is None else alike.samples.threads)
    write_samples(path, record(network, msgspec.structs.replace(settings, threads=chosen), like=alike))


def require_network(path: Path, *, why: str) -> None:
    """Raise ConfigError where *path* is no file that could be a network; *why* one is needed is a clause."""
    require_file(path)
    if path.suffix == SUFFIX:
        message = f"{path}: stored samples, but {why}; give an ONNX file."
        raise ConfigError(message)


def require_file(path: Path) -> None:
    """Raise ConfigError where there is no file at *path*, or no result could hold its name."""
    require_utf8(path)
    if not path.is_file():
        message = f"{path}: no such file; give an ONNX file, or samples that edgekd gate --save wrote."
        raise ConfigError(message)
