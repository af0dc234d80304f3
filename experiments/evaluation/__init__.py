"""What the command `evaluate` is made of."""
