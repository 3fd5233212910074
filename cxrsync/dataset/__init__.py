"""One version of one dataset in the destination: its tree, its manifest and its tables."""
