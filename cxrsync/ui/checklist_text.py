"""The checklist of ``cxrsync access``, for people and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence

from cxrsync.preflight.access_facts import AccessFacts, SiteWords, VersionReply
from cxrsync.preflight.checklist import Check, Checklist, Mark
from cxrsync.preflight.store_checklist import StoreFacts
from cxrsync.sources.version_info import VersionInfo

_MARKS = {Mark.OK: "✓", Mark.WARNING: "!", Mark.MISSING: "✗", Mark.SKIPPED: "-"}
_INDENT = "    "
# What is found needs so many columns beside the names; else it stands below them.
_LEAST_COLUMNS = 24


class ChecklistWriter:
    """Writes a line for each check as soon as it is known, and at the end what to do.

    ``width``: of the longest name. ``columns``: of the terminal; 0 for none, which wraps no line.
    """

    def __init__(
        self, write_lines: Callable[[Iterable[str]], object], width: int, columns: int = 0
    ) -> None:
        self._write_lines = write_lines
        self._width = width
        self._columns = columns
        self._shown = 0

    def show(self, checks: Sequence[Check]) -> None:
        """Write those of the first checks of the list that were not written yet."""
        for each in checks[self._shown :]:
            self._write_lines(_check_lines(each, self._width, self._columns))
        self._shown = max(self._shown, len(checks))

    def end(self, checklist: Checklist) -> None:
        """Write the rest of the checks, and what to do."""
        self.show(checklist.checks)
        self._write_lines(
            part for line in _conclusion(checklist) for part in _wrapped(line, self._columns)
        )


def _check_lines(check: Check, width: int, columns: int) -> Iterator[str]:
    begin, below = f"  {_MARKS[check.mark]} {check.name:<{width}}  ", " " * (width + 6)
    if columns and columns - len(below) < _LEAST_COLUMNS:
        yield begin.rstrip()
        begin = below = " " * 6
    for text in filter(None, (check.found, check.about)):
        yield from _wrapped(begin + text, columns, below)
        begin = below


def _wrapped(line: str, columns: int, below: str = _INDENT) -> list[str]:
    """Return a line as lines of at most so many columns; words, as addresses, stay whole."""
    if not columns or len(line) <= columns:
        return [line]
    return textwrap.wrap(
        line, columns, subsequent_indent=below, break_long_words=False, break_on_hyphens=False
    )


def _conclusion(checklist: Checklist) -> Iterator[str]:
    """Yield what to do about what is only a warning, and then, where the eye is, about the first
    thing that is missing."""
    yield ""
    missing = checklist.first_missing
    for each in checklist.checks:
        if each.mark is Mark.WARNING:
            yield f"Note: {each.name}: {each.found}"
            yield from _step(each)
    if missing is not None:
        yield f"Missing: {missing.name}: {missing.found}"
        yield from _step(missing)
    for each in checklist.checks:
        if each.mark is Mark.MISSING and missing is not None and each.page != missing.page:
            yield f"Then: {each.name}: {each.found}" + (f": {each.page}" if each.page else "")
    if missing is None:
        yield "Every dataset that was asked for opens to you."


def as_json(facts: AccessFacts, checklist: Checklist) -> dict[str, object]:
    """Return the checklist as JSON values, with what the site says of each version."""
    missing = checklist.first_missing
    return {
        "host": facts.host,
        "user": (facts.sign_in.user if facts.sign_in is not None else "") or None,
        "datasets": [
            _version(each, facts.site.get(each.name, SiteWords())) for each in facts.versions
        ],
        "checks": [_as_json(each) for each in checklist.checks],
        "missing": None if missing is None else missing.name,
        "exit_code": int(checklist.code),
    }


def store_as_json(facts: StoreFacts, checklist: Checklist) -> dict[str, object]:
    """Return the checklist of a store as JSON values, under the same keys."""
    missing = checklist.first_missing
    return {
        "host": facts.address,
        "user": None if facts.caller is None else str(facts.caller),
        "datasets": [
            {
                "dataset": each.dataset.slug,
                "version": each.version,
                "opens": each.opens,
                "place": each.place,
                "page": each.dataset.page(each.version),
            }
            for each in facts.versions
        ],
        "checks": [_as_json(each) for each in checklist.checks],
        "missing": None if missing is None else missing.name,
        "exit_code": int(checklist.code),
    }


def stores_as_json(
    stores: Sequence[tuple[StoreFacts, Checklist]], together: Checklist
) -> dict[str, object]:
    """Return the checklists of several stores as JSON values: each under ``stores``, and all their
    checks together."""
    each_alone = [store_as_json(facts, done) for facts, done in stores]
    missing = together.first_missing
    return {
        "host": ", then ".join(facts.address for facts, _done in stores),
        "user": each_alone[0]["user"],
        "stores": each_alone,
        "checks": [_as_json(each) for each in together.checks],
        "missing": None if missing is None else missing.name,
        "exit_code": int(together.code),
    }


def _version(asked: VersionReply, site: SiteWords) -> dict[str, object]:
    about = site.about or VersionInfo()
    return {
        "dataset": asked.dataset.slug,
        "version": asked.version,
        "opens": asked.opens,
        "status": None if asked.reply is None else asked.reply.status,
        "newest": site.newest or None,
        "title": about.title or asked.dataset.title,
        "bytes": about.total,
        "doi": about.doi or None,
        "license": about.license or None,
        "page": asked.dataset.page(asked.version),
    }


def _step(check: Check) -> Iterator[str]:
    for line in check.step.split("\n") if check.step else ():
        yield f"{_INDENT}{line}"
    if check.page and check.page not in check.step:
        yield f"{_INDENT}{check.page}"


def _as_json(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "mark": check.mark.value,
        "found": check.found,
        "about": check.about or None,
        "next_step": check.step or None,
        "page": check.page or None,
        "exit_code": int(check.code),
    }
