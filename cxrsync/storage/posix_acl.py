"""The access control list (ACL) of a file or folder, as Linux keeps it in an extended attribute.

A folder may have a default ACL, which new files in it inherit. With an ACL, ``chmod`` no longer
changes what the owning group may do. It sets the mask, the upper limit of every entry but those of
the owner and of others (acl(5)). So a file whose inherited ACL gives its group nothing stays closed
to the group, whatever its mode says. :func:`with_mode` sets both, and leaves all other entries.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
# linux/posix_acl.h
_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20
_NO_ACL = {errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def with_mode(acl: bytes, mode: int) -> bytes:
    """Return the ACL in which owner, group, mask and others have the permissions of ``mode``.

    The entries of other users and groups stay. What is not an ACL, or has no mask and so no such
    entries, is returned unchanged: there ``chmod`` does the same.
    """
    if not acl.startswith(_VERSION) or (len(acl) - len(_VERSION)) % _ENTRY.size:
        return acl
    entries = list(_ENTRY.iter_unpack(acl[len(_VERSION) :]))
    if not any(tag == _MASK for tag, _permissions, _id in entries):
        return acl
    group = mode >> 3 & 7
    new = {_OWNER: mode >> 6 & 7, _GROUP: group, _MASK: group, _OTHER: mode & 7}
    return _VERSION + b"".join(
        _ENTRY.pack(tag, new.get(tag, permissions), number) for tag, permissions, number in entries
    )


def set_acl_mode(file: int, mode: int) -> None:
    """Set what the ACL of an open file or folder gives to owner, group, mask and others, if it has
    an ACL. Raises OSError."""
    if sys.platform != "linux":
        return  # macOS: an ACL is evaluated before the mode, and chmod does not change it
    try:
        acl = os.getxattr(file, _ATTRIBUTE)
    except OSError as problem:
        if problem.errno in _NO_ACL:
            return
        raise
    if (new := with_mode(acl, mode)) != acl:
        os.setxattr(file, _ATTRIBUTE, new)
