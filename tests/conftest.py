"""Settings for every test."""

from hypothesis import settings

# No deadline: a shared machine may stop for a moment. Derandomized: the same commit gives the same answer.
settings.register_profile("edgekd", deadline=None, derandomize=True)
settings.load_profile("edgekd")
