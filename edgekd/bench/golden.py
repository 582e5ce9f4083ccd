"""The golden inputs and outputs beside a model: what a device must answer before its time counts."""

import zipfile
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from edgekd.bench.device_errors import AnswerError
from edgekd.bench.measurement import Golden
from edgekd.core.digest import file_digest
from edgekd.core.errors import ConfigError

MANIFEST: Final = "manifest.json"
SHIPPED: Final = "model.onnx"


class GoldenFile(msgspec.Struct, frozen=True, kw_only=True):
    """Where the samples are; *tolerance* is None where the outputs are those of another file."""

    path: Path
    tolerance: float | None


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    sha256: str


class _Samples(msgspec.Struct, frozen=True, kw_only=True):
    """The golden samples."""

    file: str
    tolerance: float


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of a bundle's manifest."""

    golden: _Samples
    files: dict[str, _Facts]


def golden_of(model: Path) -> GoldenFile | None:
    """Return the golden file of the bundle that *model* lies in, None where it lies in none.

    The outputs are those of the file that ships; another precision is given the inputs, and its answers are not judged.
    Raises ConfigError for a manifest that cannot be read.
    """
    manifest = model.parent / MANIFEST
    if not manifest.is_file():
        return None
    try:
        known = msgspec.json.decode(manifest.read_bytes(), type=_Manifest)
    except msgspec.MsgspecError as error:
        message = f"{manifest}: not the manifest of a bundle ({error}); make the bundle again, or give --golden none."
        raise ConfigError(message) from error
    path = model.parent / Path(known.golden.file).name
    if not path.is_file():
        message = f"{path}: the bundle's golden samples are missing; make the bundle again, or give --golden none."
        raise ConfigError(message)
    is_shipped = SHIPPED in known.files and file_digest(model) == known.files[SHIPPED].sha256
    return GoldenFile(path=path, tolerance=known.golden.tolerance if is_shipped else None)


def require_samples(path: Path) -> None:
    """Raise ConfigError where *path* is no .npz file whose arrays can be read without pickle."""
    try:
        if not zipfile.is_zipfile(path):
            message = (
                f"--golden: {path} is no .npz file; write one with numpy.savez, an array for each input and output."
            )
            raise ConfigError(message)
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                arrays[name]
    except (EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
        message = f"--golden: {path} cannot be read ({str(error).splitlines()[0]}); write it with numpy.savez."
        raise ConfigError(message) from error


def require_golden(checked: Golden | None, *, subject: str) -> None:
    """Raise AnswerError where answers are further from the golden outputs than the tolerance."""
    if checked is None or checked.tolerance is None or checked.largest_difference <= checked.tolerance:
        return
    message = (
        f"{subject}: it answers the golden inputs with other numbers: they differ by {checked.largest_difference:.3g}, "
        f"at most {checked.tolerance:.3g} was expected; no time is given. Look at edgekd verify, or measure with "
        f"--golden none."
    )
    raise AnswerError(message)
