"""HTTP as PhysioNet speaks it: sessions, sign-in, timeouts, and the meaning of responses."""
