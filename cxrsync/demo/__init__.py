"""A PhysioNet in miniature: synthetic trees, and a server with the real one's manners."""
