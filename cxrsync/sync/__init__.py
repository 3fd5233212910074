"""A set of partitions, locked together: fetched, hashed, published, recorded."""
