"""Starts a run on machines that are elsewhere."""
