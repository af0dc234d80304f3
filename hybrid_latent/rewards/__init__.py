"""Rewards: texts in, numbers out; nothing here imports jax."""
