"""A miniature PhysioNet: synthetic datasets, and a server that behaves as the real one does."""
