"""Latency estimated from a network's layers and published points of devices; nothing here is measured."""
