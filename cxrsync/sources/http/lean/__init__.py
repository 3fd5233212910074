"""A quick HTTP path for files: GETs on kept connections, and nothing else. What is odd is left to
aiohttp."""
