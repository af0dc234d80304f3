"""Studies: each a command that repeats what a paper compares, in small."""
