"""The bytes of one file, over one connection or several."""
