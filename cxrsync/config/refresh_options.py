"""The options of a tree that is pulled again and again: what may be deleted or fetched again, and
who may read it."""

from __future__ import annotations

from cxrsync.config.job import Refresh
from cxrsync.config.option import Group, Option, Section, Type

_DEFAULTS = Refresh()

REFRESH = (
    Option(
        "delete", Type.FLAG, Group.PULL, advanced=True,
        help="Move files that a newer manifest no longer lists to .cxrsync/trash. Only files that "
        "an earlier manifest lists with the same SHA-256 are moved.",
        near="delete_after delete_before delete_during del prune remove withdraw",
    ),
    Option(
        "max_delete", Type.SHARE, Group.PULL, metavar="N|N%", example="1%", advanced=True,
        default=str(_DEFAULTS.max_delete),
        help="If --delete would move more files than that, move none (exit 11) "
        "[default: {default} of the files that the manifest lists].",
        near="delete_limit max_deletions",
    ),
    Option(
        "trash_keep", Type.DURATION, Group.PULL, metavar="30d", example="30d", advanced=True,
        help="Delete from .cxrsync/trash what was moved there longer ago: 30d, 12h "
        "[default: nothing is deleted].",
        near="keep_trash trash_age trash empty_trash backup_dir keep_deleted",
    ),
    Option(
        "max_refetch", Type.SHARE, Group.PULL, metavar="N|N%", example="1%", advanced=True,
        help="If more verified files than that are gone from the disk, fetch none (exit 11) "
        "[default: no limit; for a mirror 1 %, but not less than 100].",
        near="refetch_limit max_missing",
    ),
    Option(
        "refetch", Type.FLAG, Group.PULL, advanced=True,
        help="Fetch verified files that are gone again, however many.",
        near="redownload fetch_again re_fetch",
    ),
    Option(
        "permissions", Type.PERMISSIONS, Group.PULL, section=Section.DESTINATION,
        metavar="MODES", advanced=True,
        example="files=0440,folders=2750,group=cxr-jpg",
        help="Let a group read the tree: files=0440,folders=2750,group=cxr-jpg. The tree keeps "
        "them, for later pulls and repairs, too. Each member needs an agreement of their own "
        "[default: only the owner reads a new tree].",
        near="perms perm mode modes chmod chown file_mode dir_mode umask share shared group gid",
    ),
)  # fmt: skip
