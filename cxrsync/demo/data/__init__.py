"""Synthetic datasets: real names, no real data."""
