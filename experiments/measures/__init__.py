"""Tables of an evaluation, from its record alone: no model and no jax."""
