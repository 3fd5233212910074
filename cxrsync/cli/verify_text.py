"""What ``verify`` says of one tree, for people."""

from __future__ import annotations

from collections.abc import Iterator

from cxrsync import humanize
from cxrsync.cli.tree_words import tree_options
from cxrsync.dataset.target import Target
from cxrsync.operations.verify import Verification


def verification_lines(
    found: Verification, target: Target, *, is_of_tree: bool, hint: bool
) -> list[str]:
    """Return the result in words, and what to do next.

    ``is_of_tree``: the tree told what is expected, and no selection was asked for. ``hint``: False
    if the next step is taken now.
    """
    unverified = [
        f"{count:,} {word}"
        for count, word in ((len(found.bad), "bad"), (len(found.unreadable), "unreadable"))
        if count
    ]
    lines = [
        f"{target.name} ({found.selection}): {found.good:,} verified "
        f"({humanize.size(found.good_bytes)}), "
        f"{len(found.bad) + len(found.unreadable):,} unverified"
        + (f" ({', '.join(unverified)})" if unverified else "")
        + f", {found.missing:,} missing, {found.selected:,} in total"
        + (f"; {found.extra:,} extra" if found.extra else "")
    ]
    if found.derived:
        text = humanize.as_copies(found.derived, " of the total")
        lines.append(f"{text} ({humanize.size(found.derived_bytes)}), with the bytes as recorded")
    if found.acknowledged:
        lines.append(f"{humanize.files(found.acknowledged)} missing, as acknowledged")
    if found.index_pages:
        pages = humanize.files(found.index_pages)
        lines.append(f"{pages} named index.html, left by wget: harmless, not needed")
    if found.unpacked:
        tables = "1 table is" if found.unpacked == 1 else f"{found.unpacked:,} tables are"
        lines.append(f"{tables} unpacked beside the .csv.gz, and right")
    if found.refused_lines:
        lines.append(f"{found.refused_lines:,} lines of the manifest are rejected")
    if is_of_tree and found.unselected:
        is_one = found.unselected == 1
        lines.append(
            f"{humanize.files(found.unselected)} of this version {'is' if is_one else 'are'} here "
            f"though no pull selected {'it' if is_one else 'them'}: not in these numbers; --all "
            "verifies the whole version"
        )
    return [*lines, *(_next_steps(found, target) if hint else ())]


def _next_steps(found: Verification, target: Target) -> Iterator[str]:
    if found.extra:
        yield (
            "Extra files are not in the manifest: no command needs them. To move those of an "
            "earlier manifest to the trash, add --delete to the pull; remove the others yourself"
        )
    if found.unreadable:
        yield (
            "--repair replaces files that the disk has lost (Input/output error); the owner of the "
            "other unreadable files must make them readable"
        )
    if found.bad or found.missing:
        yield "To fetch bad and missing files, run the same command with --repair"
    elif not found.unreadable:
        tree = tree_options(target)
        yield f"To see what is here, and how old its proofs are: cxrsync status {tree}"
