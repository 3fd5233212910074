"""The sources of a dataset's files: PhysioNet, a local tree. No other package knows HTTP."""
