"""The names of a saved network's two files; known here without torch."""

from typing import Final

STRUCTURE: Final = "network.json"
WEIGHTS: Final = "weights.safetensors"
GRAPH: Final = "graph.onnx"
