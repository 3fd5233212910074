"""Words → a Job: the one place where they are understood.

Command line, environment, job files and the Python functions all say the same things under the
same names.
"""

from cxrsync.options.given import given
from cxrsync.options.job import OPTIONS, make_job, parse_connections
from cxrsync.options.selection import make_selection, parse_shards

__all__ = ["OPTIONS", "given", "make_job", "make_selection", "parse_connections", "parse_shards"]
