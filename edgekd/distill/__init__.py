"""Losses that teach a student with a teacher's outputs and features."""
