"""What a measurement is asked for, in a form that the runner on the device reads."""

import msgspec

CPU = "CPUExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """How one file is measured.

    *model* and *golden* are paths where it runs; *python* is a device's. *cores*: which ones, an empty tuple for no
    pinning, None for as many of the fastest as there are threads. *seconds*: go on so long. *flags*: of a builder of
    engines. *allow_elsewhere*: nodes may run with another provider. *least_runtime*: no older ONNX Runtime.
    """

    model: str
    threads: int
    python: str = "python3"
    provider: str = CPU
    batch: int = 1
    warmup_runs: int = 50
    runs: int = 200
    seconds: float = 0.0
    cores: tuple[int, ...] | None = None
    golden: str | None = None
    profile: bool = False
    allow_elsewhere: bool = False
    flags: tuple[str, ...] = ()
    least_runtime: str = "1.8"
    timeout_s: float = 3600.0
