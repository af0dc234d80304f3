"""What each field of a config accepts and means, and what no config may be."""
