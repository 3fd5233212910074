"""Synthetic datasets with real file names and no real data."""
