"""PhysioNet's own protocol: sessions, sign-in, time limits, and what a response means."""
