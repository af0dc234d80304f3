"""Commands that repeat the comparisons of papers at small size."""
