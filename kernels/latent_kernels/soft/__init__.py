"""The soft embedding: its definition, and the ways to have it fast."""
