"""Checks whether a destination may be used, before anything is downloaded into it."""
