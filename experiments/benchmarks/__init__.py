"""Commands that measure speed, memory and robustness."""
