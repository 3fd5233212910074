"""Shows the events of a run to people, logs and other programs."""
