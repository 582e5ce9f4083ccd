"""The manifest of a bundle: what an app must know of the files, and what proves that they are the right ones."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from onnxruntime import InferenceSession, NodeArg

from edgekd.networks.session import Arithmetic
from edgekd.targets import PrecisionName
from edgekd.tasks.preprocessing import Preprocessing

MANIFEST_FORMAT: Final = 2
SHIPPED: Final = "model.onnx"
"""The file that an app takes."""

_DTYPES: Final = {"tensor(float)": "float32"}


class Tensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input or output of the model files: *shape* includes the batch of 1."""

    name: str
    dtype: Literal["float32"]
    shape: tuple[int, ...]


def tensors_of(session: InferenceSession) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return the inputs and outputs that a model file really has."""
    return tuple(_tensor(node) for node in session.get_inputs()), tuple(_tensor(node) for node in session.get_outputs())


def _tensor(node: NodeArg) -> Tensor:
    """Return one input or output as ONNX Runtime describes it."""
    return msgspec.convert({"name": node.name, "dtype": _DTYPES.get(node.type, node.type), "shape": node.shape}, Tensor)


class FileFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the bundle."""

    sha256: str
    size_bytes: int


class Lineage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage: the key of its result, the keys of what it took, and its settings.

    ``edgekd quantize``, which stores nothing, has the digests of network and data for its inputs.
    """

    stage: str
    key: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How ``golden.npz`` is replayed: one sample at a time through ``model.onnx``, in *arithmetic*.

    *tolerance* is the largest absolute difference of an output that counts as equal: rounding in float, some
    steps of the output's grid in INT8, where other kernels round ties elsewhere.
    """

    file: str
    samples: int
    tolerance: float
    arithmetic: Arithmetic = "reference"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of ``manifest.json``. *precisions* names the file of each precision; *files* every other file.

    *preprocessing* belongs to the input of that name. The first output is the logits.
    """

    format: int
    target: str
    task: str
    seed: int
    precision: PrecisionName
    precisions: Mapping[PrecisionName, str]
    opset: int
    ir_version: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    labels: tuple[str, ...]
    preprocessing: Mapping[str, Preprocessing]
    golden: Golden
    files: Mapping[str, FileFacts]
    lineage: tuple[Lineage, ...]
    versions: Mapping[str, str]
