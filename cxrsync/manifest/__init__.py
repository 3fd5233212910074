"""The manifest, purely: lines in, entries out; no file, no network."""
