"""One version of one dataset in this destination: its tree, its manifest, its tables."""
