"""Networks without pickle: how to rebuild, change, count and save any module."""
