"""What is missing, and what it takes: decisions, purely."""
