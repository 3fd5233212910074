"""The operations: one module for each command, without command line and without printing."""
