"""Plan a run: decide which files are missing and what they need. The decisions are pure."""
