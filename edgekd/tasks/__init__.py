"""The data a network is compressed for: what a task is, and one file per kind of data."""
