"""Quantization of an ONNX graph: where it goes, its ranges, its fine-tuning, and the Q/DQ form that ships."""
