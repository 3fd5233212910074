"""``python -m cxrsync``"""

from cxrsync.cli.main import entry

entry()
