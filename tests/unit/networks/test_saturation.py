"""Whether this host's integer kernels can be believed."""

import pytest

from edgekd.bench.host import this_host
from edgekd.networks.saturation import saturating_kernels


def test_only_hosts_without_vnni_saturate() -> None:
    """VNNI and ARM add four products in 32 bits; an x86 CPU without it does not, and signed data is safe anywhere."""
    host = this_host()
    if host.machine != "x86_64":
        pytest.skip("a statement on x86 CPUs; this one is none")
    assert ("U8S8" in saturating_kernels()) == (not host.has_vnni)
    assert "S8S8" not in saturating_kernels()
