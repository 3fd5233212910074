"""cxrsync: a resumable, verifying downloader of PhysioNet's chest X-ray datasets.

For example::

    import cxrsync
    report = cxrsync.pull(jpg=True, split="test", dest="/data", progress=True)

pull, apull, ls, dry_run, files, verify and status have the options of the commands of these names
(files: of index) as keyword arguments; iter_verified and aiter_verified those of pull.
docs/python.md explains them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    raise ImportError(
        "cxrsync runs on Linux and macOS. On Windows, install it inside WSL: "
        "https://learn.microsoft.com/windows/wsl/install"
    )

if TYPE_CHECKING:
    from cxrsync.api import (
        File,
        Forecast,
        ListOptions,
        PullOptions,
        Report,
        Status,
        StatusOptions,
        Verification,
        VerifyOptions,
        apull,
        dry_run,
        ls,
        pull,
        status,
        verify,
    )
    from cxrsync.api.image_files import FilesOptions, ImageFile, ImageFiles, files
    from cxrsync.api.verified_images import (
        StreamOptions,
        VerifiedImage,
        aiter_verified,
        iter_verified,
    )
    from cxrsync.errors import (
        AccessDenied,
        CredentialsRefused,
        CxrsyncError,
        DiskError,
        EmptySelection,
        ExitCode,
        FileDenied,
        ImagesFailed,
        Locked,
        LockLost,
        ManifestDamaged,
        NotFetchedYet,
        NotFound,
        RefusedForSafety,
        RequiredFileFailed,
        SourceError,
        Stopped,
        StoppedAtLimit,
        Throttled,
        Unanswered,
        Unbalanced,
        Unreachable,
        Untrusted,
        UsageError,
        WillNotFit,
    )

__version__ = "0.3.0"
__all__ = [
    "AccessDenied",
    "CredentialsRefused",
    "CxrsyncError",
    "DiskError",
    "EmptySelection",
    "ExitCode",
    "File",
    "FileDenied",
    "FilesOptions",
    "Forecast",
    "ImageFile",
    "ImageFiles",
    "ImagesFailed",
    "ListOptions",
    "LockLost",
    "Locked",
    "ManifestDamaged",
    "NotFetchedYet",
    "NotFound",
    "PullOptions",
    "RefusedForSafety",
    "Report",
    "RequiredFileFailed",
    "SourceError",
    "Status",
    "StatusOptions",
    "Stopped",
    "StoppedAtLimit",
    "StreamOptions",
    "Throttled",
    "Unanswered",
    "Unbalanced",
    "Unreachable",
    "Untrusted",
    "UsageError",
    "Verification",
    "VerifiedImage",
    "VerifyOptions",
    "WillNotFit",
    "__version__",
    "aiter_verified",
    "apull",
    "dry_run",
    "files",
    "iter_verified",
    "ls",
    "pull",
    "status",
    "verify",
]

# What a user may look for here, and what only the command line has.
_COMMANDS = ("access", "demo", "diff", "head", "info", "login", "logout", "mirror", "whoami")


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # type checkers read the imports above, and complain of other names

    def __getattr__(name: str) -> Any:
        # Imported on first use: a program that only imports this package needs no aiohttp.
        if name in __all__:
            from cxrsync import errors

            if hasattr(errors, name):
                return getattr(errors, name)
            from cxrsync import api
            from cxrsync.api import image_files, verified_images

            modules = (image_files, verified_images)
            return getattr(next((each for each in modules if name in each.__all__), api), name)
        more = f". `cxrsync {name}` is typed in a terminal" if name in _COMMANDS else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{more}")
