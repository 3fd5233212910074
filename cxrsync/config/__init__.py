"""The configuration of a run as frozen values, and the option table and parsers that make them.

Command line, environment, job files and Python functions share one set of options.
"""
