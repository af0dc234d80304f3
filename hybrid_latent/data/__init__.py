"""Problems: where they come from, what they look like, how they are batched."""
