"""The page on which a person reads the samples of evaluations."""
