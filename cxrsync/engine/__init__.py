"""Manifest, plan, transfers, verification: here source and store are introduced."""
