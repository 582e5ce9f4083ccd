"""Proving that a bundle is what was written, and that its model answers here as it did there."""

import io
from pathlib import Path
from zipfile import BadZipFile

import msgspec
import numpy as np

from edgekd.core.digest import file_digest
from edgekd.core.disk import disk_errors
from edgekd.core.errors import ConfigError, ParityError, StageError
from edgekd.core.strict import convert
from edgekd.networks.session import Arrays, every_answer, open_session
from edgekd.report.destination import MANIFEST
from edgekd.report.manifest import MANIFEST_FORMAT, SHIPPED, Manifest, tensors_of


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked: files by digest, and the largest difference of a replayed golden output."""

    bundle: str
    target: str
    files: int
    golden_samples: int
    largest_difference: float
    tolerance: float


def verify(bundle: Path) -> Verification:
    """Return what was checked when all of it holds.

    Raises ConfigError where *bundle* is none, StageError where a file is missing, extra or changed, ParityError
    where the model does not give the golden outputs.
    """
    manifest = read_manifest(bundle)
    _check_manifest(bundle / MANIFEST, manifest)
    _check_files(bundle, manifest)
    for name in (SHIPPED, *manifest.precisions.values()):
        _check_model(bundle / name, manifest)
    return Verification(
        bundle=str(bundle),
        target=manifest.target,
        files=len(manifest.files),
        golden_samples=manifest.golden.samples,
        largest_difference=_replay(bundle, manifest),
        tolerance=manifest.golden.tolerance,
    )


def read_manifest(bundle: Path) -> Manifest:
    """Return the manifest of *bundle*; ConfigError where there is none, or one that is not whole."""
    path = bundle / MANIFEST
    with disk_errors(path):
        is_there = path.is_file()
    if not is_there:
        message = f"{bundle}: no {MANIFEST} there; expected a folder that `edgekd compress` or `edgekd quantize` wrote."
        raise ConfigError(message)
    try:
        with disk_errors(path):
            data = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        message = f"{path}: not JSON ({error}); expected the manifest that edgekd wrote."
        raise ConfigError(message) from error
    return convert(data, Manifest, where=str(path))


def golden_samples(bundle: Path, manifest: Manifest) -> tuple[Arrays, Arrays]:
    """Return the golden inputs and outputs; StageError where they cannot be read."""
    path = bundle / manifest.golden.file
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as golden:
            inputs = tuple(golden[tensor.name] for tensor in manifest.inputs)
            return inputs, tuple(golden[tensor.name] for tensor in manifest.outputs)
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        message = f"{path}: cannot be read as the golden inputs and outputs ({error}); make the bundle again."
        raise StageError(message) from error


def _check_manifest(path: Path, manifest: Manifest) -> None:
    """Raise ConfigError where the manifest is of another form, or names files that it does not list."""
    if manifest.format != MANIFEST_FORMAT:
        message = (
            f"{path}: format: {manifest.format} given; this edgekd reads {MANIFEST_FORMAT}: use the one that wrote it."
        )
        raise ConfigError(message)
    for name in (SHIPPED, manifest.golden.file, *manifest.precisions.values()):
        if name not in manifest.files:
            message = f"{path}: '{name}' is used but not in files; make the bundle again."
            raise ConfigError(message)
    if not manifest.inputs or not manifest.outputs:
        message = f"{path}: {len(manifest.inputs)} inputs, {len(manifest.outputs)} outputs; expected both."
        raise ConfigError(message)


def _check_files(bundle: Path, manifest: Manifest) -> None:
    """Raise StageError for the first file that is missing, extra or not what the manifest says."""
    found = {path.name for path in bundle.iterdir()} - {MANIFEST}
    for name in sorted(found ^ manifest.files.keys()):
        state = "is in the manifest but not there" if name in manifest.files else "is there but not in the manifest"
        message = f"{bundle / name}: {state}; the bundle is not what was written: make it again."
        raise StageError(message)
    for name, facts in manifest.files.items():
        if not (bundle / name).is_file() or file_digest(bundle / name) != facts.sha256:
            message = f"{bundle / name}: its SHA-256 is not the manifest's; the bundle is not what was written."
            raise StageError(message)


def _check_model(path: Path, manifest: Manifest) -> None:
    """Raise StageError unless the model loads and takes and gives what the manifest says."""
    found = tensors_of(open_session(path))
    if found != (manifest.inputs, manifest.outputs):
        message = f"{path}: takes and gives {found}; the manifest says {(manifest.inputs, manifest.outputs)}."
        raise StageError(message)


def _replay(bundle: Path, manifest: Manifest) -> float:
    """Return the largest difference between golden and replayed outputs; ParityError where it is too large."""
    inputs, expected = golden_samples(bundle, manifest)
    found = every_answer(open_session(bundle / SHIPPED, arithmetic=manifest.golden.arithmetic), [inputs])
    difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    if not difference <= manifest.golden.tolerance:
        message = (
            f"{bundle / SHIPPED}: a golden output differs by {difference:.3g}; "
            f"at most {manifest.golden.tolerance:.3g} was expected."
        )
        raise ParityError(message)
    return difference
