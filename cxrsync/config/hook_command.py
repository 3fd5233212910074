"""The command of a hook: a list of words, or one text that is split as a shell splits words.

No shell runs the command. A text with ``|`` or ``>`` as a word would hand these to the program as
arguments, so it is refused: the user writes ``sh -c '…'`` where a shell is wanted.
"""

from __future__ import annotations

import os
import shlex

from cxrsync.errors import UsageError

_OF_SHELLS = frozenset({"|", "||", "&", "&&", ";", ">", ">>", "<", "<<", "2>", "2>&1", ">&2"})


def parse_hook_command(value: object, label: str) -> tuple[str, ...]:
    """Return the words of a command; ``~`` at the begin of its program is the user's home, as in
    any path of a job file. Raises UsageError; it does not quote the command, which may
    contain an address that is a secret."""
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError:
            raise UsageError(
                f"{label} has a quote without its end", next_step="Close every ' and \"."
            ) from None
        of_shell = next((word for word in words if _is_of_shell(word)), None)
        if of_shell is not None:
            raise UsageError(
                f"{label} has {of_shell}, and no shell runs the command",
                next_step=f"Write {label}: [sh, -c, '…'], or put the commands into a script.",
            )
    elif isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        words = list(value)
    else:
        raise UsageError(
            f"{label} is neither a command nor a list of words",
            next_step=f"Write {label}: /usr/local/bin/program, or a list: [program, --option].",
        )
    if not words or not words[0]:
        raise UsageError(f"{label} is empty", next_step="Name a program, or leave the key out.")
    if any("\0" in word for word in words):
        raise UsageError(
            f"{label} contains a zero byte", next_step="Write the command again without it."
        )
    return (os.path.expanduser(words[0]), *words[1:])


def _is_of_shell(word: str) -> bool:
    return word in _OF_SHELLS
