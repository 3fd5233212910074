"""The disk: safe paths, bytes so far, final names, state, lock. Knows nothing of any source."""
