"""Many runs of a trainer, here or elsewhere, and their comparison."""
