"""The topics of ``cxrsync help TOPIC``, and what a user may type to find one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cxrsync.cli.help import topic_pages
from cxrsync.cli.help.page import Page


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its line in the list, its page, and other names for it, separated by blanks."""

    summary: str
    page: Callable[[], Page]
    near: str


TOPICS = {
    "selection": Topic(
        "which files a command is about: shards, splits, ids, views, labels, globs",
        topic_pages.selection,
        "select selections selecting filter filters subset choose which files images labels label "
        "views view splits ids glob globs query sample shards",
    ),
    "exit-codes": Topic(
        "what each exit code means, and what to do",
        topic_pages.exit_codes,
        "exit code codes exit-code exitcode exitcodes exit-status status-codes returncode error "
        "errors return-code return-codes",
    ),
    "environment": Topic(
        "the variables: one for each option, those of the password, and others",
        topic_pages.environment,
        "env variable variables environment-variables env-vars envvars vars config configuration "
        "settings cxrsync_ proxy",
    ),
    "access": Topic(
        "how to get access to the data, and where the password is looked for",
        topic_pages.access,
        "account permission permissions credentials credential password passwords login-help "
        "agreement dua citi training credentialing 401 403 forbidden denied netrc keyring auth "
        "authentication",
    ),
    "layout": Topic(
        "what is where on the disk, and what may be moved or deleted",
        topic_pages.layout,
        "disk tree folder folders directory directories dest destination files-on-disk structure "
        "cxrsync-folder .cxrsync trash wget partial state lock",
    ),
}
