"""The local disk: paths, partials, final names, state, locks. Knows no source."""
