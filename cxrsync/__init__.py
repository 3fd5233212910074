"""cxrsync: a resumable, verifying downloader of PhysioNet's chest X-ray datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["Report", "__version__", "apull", "pull"]

if TYPE_CHECKING:
    from cxrsync.api import Report, apull, pull


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `cxrsync --help` does not load aiohttp.
    if name in __all__:
        from cxrsync import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
