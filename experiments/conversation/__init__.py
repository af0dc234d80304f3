"""What `python -m experiments.chat` is made of."""
