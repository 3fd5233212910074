"""A file of jobs, run unattended night after night: see :mod:`cxrsync.mirror.mirror`."""
