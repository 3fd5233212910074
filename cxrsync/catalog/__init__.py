"""The catalogue of known datasets, read from YAML files. Unknown datasets work without an entry."""
