"""The server of the miniature PhysioNet: it answers as the real site does."""
