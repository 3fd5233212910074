"""What is wanted, as frozen values, and how words become it.

Command line, environment, job files and the Python functions all say the same things under the
same names.
"""
