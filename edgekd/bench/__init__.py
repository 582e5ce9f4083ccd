"""Measuring on this host: latency, memory, and the host itself. Nothing here is an estimate."""
