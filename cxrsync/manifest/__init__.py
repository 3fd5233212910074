"""The manifest (SHA256SUMS.txt) and the dataset's tables. Pure, or local files; no network."""
