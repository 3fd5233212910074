"""Where bytes come from. Nothing outside this folder knows what HTTP is."""
