"""The last steps of every file that ships, whichever command makes it."""

from onnx import ModelProto

from edgekd.export.compacting import compacted
from edgekd.export.fusible import with_fusible_forms
from edgekd.export.legalize import legalize
from edgekd.export.shapes import without_value_info
from edgekd.export.supported import refuse_unlisted


def written_for(model: ModelProto, runtime: str, version: str, *, opset: int, ir_version: int) -> ModelProto:
    """Return *model*, of a fixed batch and in its final precision, as *runtime* in *version* is given it.

    Raises ConfigError for a node that has no form at *opset*, or that the runtime does not have.
    """
    legal = legalize(with_fusible_forms(model), opset=opset, ir_version=ir_version)
    refuse_unlisted(legal, runtime, version)
    return compacted(without_value_info(legal))
