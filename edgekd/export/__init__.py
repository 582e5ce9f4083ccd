"""ONNX graphs: canonical form, older opsets, fixed batches and FP16, each a pure function of a model."""
