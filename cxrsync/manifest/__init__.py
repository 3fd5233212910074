"""The manifest, purely, or read from a local file: lines in, entries out; no network."""
