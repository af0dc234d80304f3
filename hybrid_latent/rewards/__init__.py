"""Rewards of texts; none of these modules imports jax."""
