"""What makes the folder of ``edgekd quantize`` a bundle like any other: model.onnx, golden samples and a manifest."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekd.core.digest import json_digest
from edgekd.networks.session import Arithmetic, open_session
from edgekd.report.bundle import write_manifest
from edgekd.report.golden import write_golden
from edgekd.report.manifest import MANIFEST_FORMAT, SHIPPED, Lineage, Manifest, tensors_of
from edgekd.report.quantized_content import MODEL
from edgekd.targets import Target
from edgekd.tasks.task import Task


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a file was quantized from: the digest of the float file, *settings* and *seed*, and *versions* at work."""

    source_sha256: str
    seed: int
    settings: Mapping[str, Any]
    versions: Mapping[str, str]


def complete_bundle(
    folder: Path,
    task: Task,
    target: Target,
    origin: Origin,
    *,
    classes: NDArray[np.int64],
    arithmetic: Arithmetic = "reference",
) -> None:
    """Add to *folder*, which holds the INT8 file and its report, what ``edgekd verify`` looks at.

    *classes* (n,) are those of the test samples: one sample of each becomes golden, answered in *arithmetic*.
    """
    shutil.copyfile(folder / MODEL, folder / SHIPPED)
    golden = write_golden(folder, task, classes, precision="int8", arithmetic=arithmetic)
    inputs, outputs = tensors_of(open_session(folder / SHIPPED))
    taken = {"model": origin.source_sha256, "data": task.digest}
    key = json_digest({"stage": "quantize", "target": target.name, "inputs": taken, "settings": origin.settings})
    manifest = Manifest(
        format=MANIFEST_FORMAT,
        target=target.name,
        task=task.name,
        seed=origin.seed,
        precision="int8",
        precisions={"int8": MODEL},
        opset=target.runtime.opset,
        ir_version=target.runtime.ir_version,
        inputs=inputs,
        outputs=outputs,
        labels=task.labels,
        preprocessing={tensor.name: entry.preprocessing for tensor, entry in zip(inputs, task.inputs, strict=True)},
        golden=golden,
        files={},
        lineage=(Lineage(stage="quantize", key=key, inputs=taken, settings=origin.settings),),
        versions=origin.versions,
    )
    write_manifest(folder, manifest)
