"""The miniature PhysioNet: it answers as the real site does."""
