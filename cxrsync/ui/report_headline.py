"""The sentence at the top of the HTML report: whether the mirror is right. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from cxrsync import humanize
from cxrsync.report_data import ReportData, RunData, Trouble
from cxrsync.ui.run_words import class_of, result_of

DAY = 86_400.0
_PACE_DAYS = 7


class Tone(Enum):
    """Whether the mirror is right: it is; it is, but the last run failed; it is being filled; or a
    person must look."""

    RIGHT = "right"
    STALE = "stale"
    FILLING = "filling"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Headline:
    """The sentence at the top, and those that say more."""

    tone: Tone
    sentence: str
    more: tuple[str, ...] = ()


def headline(data: ReportData) -> Headline:
    """Whether the mirror is right, in words."""
    total = data.total
    more = tuple(_more(data))
    right = Tone.STALE if last_failed(data) else Tone.RIGHT
    if data.unknown:
        return Headline(
            Tone.WRONG, "The contents of this mirror are not known.", (data.unknown, *more)
        )
    if not total.selected:
        return Headline(Tone.WRONG, "No file is selected, or none is here.", more)
    if total.verified == total.selected:
        proof = f"; the oldest proof is {age_words(data.proofs.oldest)} old"
        if data.only_present:
            sentence = f"All {humanize.files(total.selected)} in this tree are verified{proof}."
        elif total.selected == 1:
            sentence = f"The one selected file is here and verified{proof}."
        else:
            sentence = f"All {total.selected:,} selected files are here and verified{proof}."
        return Headline(right, sentence, more)
    acknowledged = _acknowledged(data)
    if acknowledged and total.verified + acknowledged == total.selected:
        sentence = (
            f"All selected files but {acknowledged:,} are here and verified; of those the source's "
            "copy differs from the published digest, which is acknowledged."
        )
        return Headline(right, sentence, more)
    if _is_filling(data):
        share = 100 * total.verified / total.selected
        sentence = (
            f"The mirror is being filled: {total.verified:,} of {total.selected:,} selected files "
            f"({_percent(share)}) are here and verified."
        )
        return Headline(Tone.FILLING, sentence, more)
    parts = []
    if total.missing:
        parts.append(f"{_files_are(total.missing)} missing")
    if total.unverified:
        parts.append(f"{_files_are(total.unverified)} not verified")
    sentence = f"{' and '.join(parts)}, of {total.selected:,} selected."
    return Headline(Tone.WRONG, sentence, more)


def _more(data: ReportData) -> Iterator[str]:
    for run in data.working:
        yield f"A run is at work: {run.verified:,} of {run.selected:,} files are verified so far."
    if data.behind:
        yield (
            f"A run has verified more of {', '.join(data.behind)} than is counted here: it "
            "publishes its counts every half minute, and those of a run that was killed are taken "
            "in by the next run."
        )
    if last_failed(data):
        yield f"The last run failed: {error_of(data.runs[-1])}"
    if (days := days_left(data)) is not None:
        yield f"At the pace of the last {_PACE_DAYS} days it is complete in about {days}."
    waiting = data.total.missing - data.total.troubled - _acknowledged(data)
    if waiting > 0 and not _is_filling(data):
        yield f"No run has tried to fetch {waiting:,} of the missing files yet."
    if data.only_present:
        yield "Nothing tells what was pulled into this tree: only the files in it are counted."
    if data.unread_runs:
        yield (
            f"{data.unread_runs:,} {'log' if data.unread_runs == 1 else 'logs'} of earlier runs "
            "cannot be read by this user, and are not in this report."
        )


def _is_filling(data: ReportData) -> bool:
    """Whether files are missing for no other reason than that no run has come to them yet."""
    if data.total.troubled:
        return False
    # A reader of a shared mirror may see neither the runs nor their logs, but always the states.
    if data.working or (data.behind and not data.runs):
        return True
    return bool(data.runs) and class_of(data.runs[-1]) == "limited"


def _acknowledged(data: ReportData) -> int:
    known = (each for each in data.troubles if each.trouble is Trouble.ACKNOWLEDGED)
    return sum(each.files for each in known)


def last_failed(data: ReportData) -> bool:
    """Whether the last run ended with something that a person must look at."""
    return bool(data.runs) and class_of(data.runs[-1]) == "failed"


def error_of(run: RunData) -> str:
    """Why a run failed, as a sentence."""
    return _sentence(run.error or result_of(run))


def days_left(data: ReportData) -> str | None:
    """How long the rest takes at the pace of late, None where that cannot be told or need not."""
    total = data.total
    left = total.missing
    since = data.made_at - _PACE_DAYS * DAY
    recent = [run for run in data.runs if run.ended > since]
    fetched = sum(run.fetched for run in recent)
    if not left or not fetched or not _is_filling(data):
        return None
    span = data.made_at - max(since, min(run.began for run in recent))
    return age_words(left * span / fetched) if span >= DAY / 24 else None


def age_words(seconds: float | None) -> str:
    """An age in whole days, or in hours where it is less than two."""
    if seconds is None:
        return "of unknown age"
    if seconds >= 2 * DAY:
        return f"{seconds // DAY:,.0f} days"
    hours = int(seconds // 3600)
    if hours >= 1:
        return "1 hour" if hours == 1 else f"{hours} hours"
    return "less than an hour"


def _files_are(count: int) -> str:
    return "1 file is" if count == 1 else f"{count:,} files are"


def _percent(share: float) -> str:
    """Never 100 before it is all, nor 0 once it is something."""
    return f"{min(99.9, max(0.1, share)):.1f} %" if 0 < share < 100 else f"{share:.0f} %"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
