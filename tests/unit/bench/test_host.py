"""The fingerprint of the machine."""

import os
import platform

import msgspec
import onnxruntime

from edgekd.bench.host import Host, this_host


def test_the_host_is_named_by_all_that_changes_a_latency() -> None:
    """Processor, cores, architecture, system, Python and ONNX Runtime as the system itself tells them."""
    host = this_host()
    assert host.logical_cores == os.cpu_count()
    assert host.machine == platform.machine()
    assert host.system == f"{platform.system()} {platform.release()}"
    assert host.python == platform.python_version()
    assert host.onnxruntime == onnxruntime.__version__
    assert host.cpu


def test_the_host_stays_the_same_and_survives_json() -> None:
    """Two looks give equal fingerprints, so samples of one host can be told from those of another."""
    host = this_host()
    assert this_host() == host
    assert msgspec.json.decode(msgspec.json.encode(host), type=Host) == host
