"""What a dataset looks like: read from a file, a convenience, never a gate."""
