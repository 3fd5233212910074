"""The local disk: safe paths, bytes so far, final names, state, lock. Knows no source."""
