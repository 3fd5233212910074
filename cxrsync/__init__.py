"""cxrsync: a resumable, verified mirror of PhysioNet's chest X-ray datasets."""

__version__ = "0.1.0"
