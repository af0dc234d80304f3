"""Many runs of a trainer, here or elsewhere, and what became of them."""
