"""What a person, a log or another program gets to see of a run."""
