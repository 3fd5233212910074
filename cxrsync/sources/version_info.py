"""What PhysioNet's public API says about one version of a dataset."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """What the site says about a version, as far as it does: ``total`` bytes, title, DOI, and the
    name of the licence. Each text is one line."""

    total: int | None = None
    title: str = ""
    doi: str = ""
    license: str = ""
