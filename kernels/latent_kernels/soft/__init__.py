"""The soft embedding: its definition and its fast implementations."""
