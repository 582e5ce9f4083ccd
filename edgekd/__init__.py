"""edgekd turns a trained network into a small, measured and deployable one for a named device."""

__version__ = "0.1.0"
