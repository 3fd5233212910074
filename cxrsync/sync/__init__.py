"""Sync a set of partitions that are locked together: fetch, hash, publish and record files."""
