"""The commands: name, module and function, and the line that ``cxrsync --help`` shows of each.

A module is imported only when its command is used. The lines are here, too, so that the list of
commands imports none of them; a test compares them with the commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib import import_module

import click


class Part(Enum):
    """The parts of the list of commands, in their order."""

    GET = "Get data"
    LOOK = "Look"
    USE = "Use and publish"
    MIRROR = "Keep a mirror"
    ACCOUNT = "Account"
    HELP = "Help"


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command: ``target`` is module and function; ``summary`` the first line of its help;
    ``resumes``: whether it goes on where an earlier run was stopped."""

    name: str
    target: str
    part: Part
    summary: str
    resumes: bool = False

    def imported(self) -> click.Command:
        """Import the command."""
        module, name = self.target.split(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command


# In the order of the list, part by part.
_ENTRIES = (
    CommandEntry(
        "pull", "cxrsync.cli.pull:pull", Part.GET,
        "Fetch the selected files that are missing; resume; verify.", resumes=True,
    ),
    CommandEntry(
        "verify", "cxrsync.cli.verify:verify", Part.GET,
        "Hash the local files again; --repair fetches what is bad.",
    ),
    CommandEntry(
        "slurm", "cxrsync.cli.slurm:slurm", Part.GET,
        "Pull or verify with SLURM: many nodes, one tree.",
    ),
    CommandEntry(
        "ls", "cxrsync.cli.ls:ls", Part.LOOK,
        "Print the selected files without fetching them.",
    ),
    CommandEntry(
        "info", "cxrsync.cli.info:info", Part.LOOK,
        "Tell about a dataset, and what of it is here.",
    ),
    CommandEntry(
        "head", "cxrsync.cli.head:head", Part.LOOK,
        "Show the first rows of a table without fetching it.",
    ),
    CommandEntry(
        "diff", "cxrsync.cli.diff:diff", Part.LOOK,
        "Compare two versions of a dataset.",
    ),
    CommandEntry(
        "status", "cxrsync.cli.status:status", Part.LOOK,
        "Count verified and missing files, by shard.",
    ),
    CommandEntry(
        "index", "cxrsync.cli.index:index", Part.USE,
        "Write one row an image: path, ids, split, view, labels.",
    ),
    CommandEntry(
        "resize", "cxrsync.cli.resize:resize", Part.USE,
        "Make smaller copies of the images, in a tree of their own.", resumes=True,
    ),
    CommandEntry(
        "receipt", "cxrsync.cli.receipt:receipt", Part.USE,
        "Say which files a work used: version, selection, digests.",
    ),
    CommandEntry(
        "cite", "cxrsync.cli.cite:cite", Part.USE,
        "Say how to cite a dataset and the article about it.",
    ),
    CommandEntry(
        "mirror", "cxrsync.cli.mirror:mirror", Part.MIRROR,
        "Run a file of jobs, unattended, as from cron.", resumes=True,
    ),
    CommandEntry(
        "access", "cxrsync.cli.access:access", Part.ACCOUNT,
        "Try the credentials, and say which step of access is missing.",
    ),
    CommandEntry(
        "login", "cxrsync.cli.login:login", Part.ACCOUNT,
        "Ask for user name and password, try them once, and store them.",
    ),
    CommandEntry(
        "logout", "cxrsync.cli.login:logout", Part.ACCOUNT,
        "Delete the stored password.",
    ),
    CommandEntry(
        "whoami", "cxrsync.cli.login:whoami", Part.ACCOUNT,
        "Say whose password a pull would use, and whether it is accepted.",
    ),
    CommandEntry(
        "help", "cxrsync.cli.help_command:help_command", Part.HELP,
        "Explain a command or a topic.",
    ),
    CommandEntry(
        "demo", "cxrsync.cli.demo:demo", Part.HELP,
        "Try cxrsync with a miniature PhysioNet on this machine.",
    ),
    CommandEntry(
        "completion", "cxrsync.cli.completion:completion", Part.HELP,
        "Print what makes a shell complete the command line.",
    ),
)  # fmt: skip
COMMANDS = {entry.name: entry for entry in _ENTRIES}
