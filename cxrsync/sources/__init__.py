"""Where bytes come from. Nothing outside this package knows what HTTP is."""
