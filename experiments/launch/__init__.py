"""Starts a run on a cluster or in a cloud."""
