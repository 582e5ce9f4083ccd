"""What the runtime of a target can build, by its own operator lists: the rest is refused by name before it ships."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, helper

from edgekd.core.errors import ConfigError
from edgekd.export.legalize import OLDEST_OPSET
from edgekd.export.operator_lists import COMPLETE, LISTS, OperatorList, Version


def refuse_unlisted(model: ModelProto, runtime: str, version: str) -> None:
    """Raise ConfigError naming every node of *model* that the operator list of *runtime* in *version* does not have.

    Nodes inside of If, Loop and Scan are looked at too. A runtime in ``COMPLETE`` takes all of its opset. A version
    that no list covers is refused, since nothing is known of it.
    """
    if runtime in COMPLETE:
        return
    listed = _list_of(runtime, version)
    reasons = [
        f"node '{node.name}' ({node.op_type}): {why}" for node in _nodes(model.graph) if (why := _why(node, listed))
    ]
    if reasons:
        message = (
            f"{runtime} {version} cannot build this network: {'; '.join(reasons)} (by {listed.source}); "
            f"replace the operator in the network, {_older(model)}or choose a target whose runtime has it."
        )
        raise ConfigError(message)


def _older(model: ModelProto) -> str:
    """Return the advice that helps where edgekd writes a newer operator by older ones, none at the oldest opset."""
    opset = max((one.version for one in model.opset_import if not one.domain), default=OLDEST_OPSET)
    return f"ask for opset {OLDEST_OPSET}, " if opset > OLDEST_OPSET else ""


def _list_of(runtime: str, version: str) -> OperatorList:
    """Return the list that covers *version*; ConfigError where there is none."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version))
    found = next((one for one in LISTS if one.runtime == runtime and one.oldest <= numbers < one.before), None)
    if found is None:
        own = [one for one in LISTS if one.runtime == runtime]
        span = f"from {_text(own[0].oldest)} to below {_text(own[-1].before)}" if own else "for other runtimes"
        message = (
            f"{runtime} {version}: no operator list is known for it, only {span}; name an older one as "
            "runtime.operator_list of the target, or add the list to edgekd.export.operator_lists."
        )
        raise ConfigError(message)
    return found


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of *graph* and of the graphs inside of them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(inner)


def _why(node: NodeProto, listed: OperatorList) -> str | None:
    """Return why the runtime cannot build *node*, or None where nothing speaks against it."""
    if node.op_type not in listed.operators or node.domain not in {"", "ai.onnx"}:
        return "its list does not have it"
    restriction = listed.restricted.get(node.op_type)
    return None if restriction is None else restriction(_attributes(node))


def _attributes(node: NodeProto) -> Mapping[str, Any]:
    """Return the values of the attributes of *node* by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _text(version: Version) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))
