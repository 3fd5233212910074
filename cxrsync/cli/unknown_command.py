"""The error for an unknown command: it names the command that the user may have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from cxrsync.catalog.load import load
from cxrsync.config.places import is_address, known_name
from cxrsync.errors import CxrsyncError, UsageError
from cxrsync.sanitize import shown_word

# What other programs, or users, call a command.
_NEAR = {
    "pull": "download get fetch sync clone copy cp dl start resume continue update upgrade wget "
    "add install restore export",
    "ls": "list dir find files show print tree paths manifest",
    "head": "peek cat less more columns header table tables csv top rows",
    "verify": "check validate fsck checksum checksums audit hash sha256sum scrub",
    "verify --repair": "repair fix heal mend",
    "diff": "compare changes cmp delta versions",
    "info": "about describe details dataset datasets doi license agreement size",
    "status": "stat progress report summary du state",
    "index": "csv table-of-images labels dataframe parquet export-csv manifest-csv",
    "resize": "scale shrink downscale thumbnail thumbnails convert",
    "receipt": "methods provenance proof certificate",
    "access": "doctor permissions credentials check-access why denied test-access probe ping",
    "login": "signin sign-in log-in auth authenticate password configure config init",
    "logout": "signout sign-out log-out forget",
    "whoami": "who user account id",
    "mirror": "run cron crontab job jobs schedule batch night nightly unattended serve daemon "
    "systemd timer service",
    "demo": "test try example examples tutorial quickstart",
    "help": "topics docs documentation manual explain",
    "completion": "completions complete autocomplete autocompletion tab shell-completion",
    "pull --dry-run": "plan estimate simulate preview size dry-run dryrun",
}
_ADVICE = {
    **dict.fromkeys(
        ("man", "usage", "commands", "-?", "/?"),
        "Write `cxrsync --help`, or `cxrsync help pull` for one command.",
    ),
    "version": "Write `cxrsync --version`.",
    **dict.fromkeys(
        ("remove", "rm", "delete", "clean", "prune"),
        "cxrsync removes no files by itself. `cxrsync pull --delete` moves files that left the "
        "manifest to the trash.",
    ),
}


def unknown_command(word: str, commands: Sequence[str]) -> UsageError:
    """Return the error for a first word that is no command."""
    return UsageError(f"no such command: {shown_word(word)}", next_step=_step(word, commands))


def near_command(word: str) -> str | None:
    """Return the command, with its option, that other programs call so; None if there is none."""
    return next((command for command, words in _NEAR.items() if word in words.split()), None)


def _step(word: str, commands: Sequence[str]) -> str:
    folded = word.strip().casefold()
    if folded in _ADVICE:
        return _ADVICE[folded]
    if folded in commands:
        return f"Did you mean cxrsync {folded}?"
    if (near := near_command(folded)) is not None:
        return f"Did you mean cxrsync {near}?"
    if _is_place(word):
        return f"Did you mean cxrsync pull {word}?"
    if folded.endswith((".yaml", ".yml")):
        return f"Did you mean cxrsync mirror {word}?"
    best = get_close_matches(folded, commands, n=1, cutoff=0.75)
    if close := best or get_close_matches(folded, commands, n=2, cutoff=0.5):
        return f"Did you mean cxrsync {' or cxrsync '.join(close)}?"
    return "`cxrsync --help` lists the commands."


def _is_place(word: str) -> bool:
    if is_address(word):
        return "@" not in word  # a password in it must not be repeated
    try:
        return known_name(word.partition("/")[0], load()) is not None
    except CxrsyncError:  # the catalogue is the user's own, and is wrong: that is another error
        return False
