"""One job over several machines: divide it into tasks, let SLURM or Dask run them, gather results.

A task is the job with ``partitions``: one shard, or the root with its tables. State, lock and
partials belong to a partition, so that tasks need no word from each other. No scheduler of our own.
"""
