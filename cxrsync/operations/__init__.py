"""One module a command: what it does, without click and without printing."""
