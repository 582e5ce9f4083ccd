"""Structured pruning: which coupled channels go, and cutting them out of a module."""
