"""An option: its name in every interface, its type, its default, and what users type instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cxrsync.config.quantities import spell_duration

VARIABLE_PREFIX = "CXRSYNC_"
# A name that is so much more alike than another (of 1) is meant alone: subjekt is not submit.
_CLEARLY_CLOSER = 0.15


class Type(Enum):
    """The type of an option's values."""

    FLAG = "flag"
    INT = "int"
    RATE = "rate"  # or rates by the time of day
    SIZE = "size"
    DURATION = "duration"  # in seconds
    SHARE = "share"
    WINDOW = "window"
    PATH = "path"
    PLACE = "place"  # a folder, or a store in the cloud
    CHOICE = "choice"
    TEXT = "text"
    IDS = "ids"  # text, or whole numbers
    SHARD = "shard"  # the same
    HOOK = "hook"  # a command
    PING = "ping"  # an address that is a secret
    PERMISSIONS = "permissions"


class Group(Enum):
    """The part of a command that an option belongs to."""

    DATASET = "Dataset"
    SELECTION = "Selection"
    DESTINATION = "Destination"
    TRANSFER = "Transfer"
    SOURCE = "Source"
    PULL = "Pull"
    COMMAND = "Command"
    OUTPUT = "Output"
    PROGRAM = "Program"
    MIRROR = "Mirror"  # keys of job files only


class Section(Enum):
    """The heading under which help shows an option, in the order of help."""

    COMMAND = "Options"
    SELECTION = "Selection"
    SOURCE = "Source"
    DESTINATION = "Destination"
    LIMITS = "Speed and limits"
    AGAIN = "A tree that is pulled again"
    OUTPUT = "Output"


# Where help shows an option that has no section of its own.
_SECTIONS = {
    Group.DATASET: Section.SELECTION,
    Group.SELECTION: Section.SELECTION,
    Group.DESTINATION: Section.DESTINATION,
    Group.TRANSFER: Section.LIMITS,
    Group.SOURCE: Section.SOURCE,
    Group.PULL: Section.AGAIN,
    Group.COMMAND: Section.COMMAND,
    Group.OUTPUT: Section.OUTPUT,
    Group.PROGRAM: Section.OUTPUT,
    Group.MIRROR: Section.COMMAND,
}

# The groups whose options make a job. Python and job files take only these.
JOB_GROUPS = frozenset(Group) - {Group.COMMAND, Group.OUTPUT, Group.PROGRAM, Group.MIRROR}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line, the environment, Python and job files.

    name: the keyword in Python.
    words: the values of a CHOICE; for an INT or a RATE, words that are allowed besides numbers.
    at_least, above, at_most: bounds of a number.
    near: names that other programs or users give the option, separated by blanks.
    example, hint: a valid value, and a sentence, for error messages.
    advanced: not for everyday use: of commands with many options, only --help-all shows it.
    section: where help shows it, if not where the others of its group are.
    flag: the name on the command line, where it does not follow from ``name``.
    help: the text for ``--help``; ``{default}`` stands for the default.
    """

    name: str
    type: Type
    group: Group
    help: str = ""
    metavar: str = ""
    default: Any = None
    words: tuple[str, ...] = ()
    repeatable: bool = False
    advanced: bool = False
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    near: str = ""
    example: str = ""
    hint: str = ""
    flag: str = ""
    short: str = ""
    section: Section | None = None

    @property
    def shown_in(self) -> Section:
        """The heading under which help shows the option."""
        return self.section or _SECTIONS[self.group]

    @property
    def typed(self) -> str:
        """The name on the command line."""
        return self.flag or "--" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """The key in a job file."""
        return self.typed.removeprefix("--").replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable. It does not name a command."""
        return VARIABLE_PREFIX + self.key.upper()

    @property
    def is_of_job(self) -> bool:
        """Whether the option is part of a job, so that Python and job files take it."""
        return self.group in JOB_GROUPS

    @property
    def help_text(self) -> str:
        """The help text, with the default filled in."""
        return self.help.replace("{default}", self._shown(self.default))

    @property
    def form(self) -> str:
        """What a value must be, as a phrase for error messages."""
        if self.type is Type.CHOICE:
            return either(self.words)
        phrase = _FORMS[self.type]
        if self.at_least is not None and self.at_most is not None:
            phrase += f" from {self._shown(self.at_least)} to {self._shown(self.at_most)}"
        elif self.at_least is not None:
            phrase += f" of at least {self._shown(self.at_least)}"
        elif self.above is not None:
            phrase += f" above {self._shown(self.above)}"
        return either((*self.words, phrase))

    def _shown(self, value: Any) -> str:
        """A default or a bound, as it is written."""
        if not isinstance(value, float | int) or isinstance(value, bool):
            return str(value)
        return spell_duration(value) if self.type is Type.DURATION else f"{value:g}"


_FORMS = {
    Type.FLAG: "true or false",
    Type.INT: "a whole number",
    Type.RATE: "a rate",
    Type.SIZE: "a number of bytes",
    Type.DURATION: "a duration",
    Type.SHARE: "a number of files or a percentage",
    Type.WINDOW: "a span of the day",
    Type.PATH: "a path",
    Type.PLACE: "a folder or a store",
    Type.TEXT: "text",
    Type.IDS: "an id",
    Type.SHARD: "a shard",
    Type.HOOK: "a command",
    Type.PING: "an address",
    Type.PERMISSIONS: "permissions",
}


def either(words: tuple[str, ...]) -> str:
    """Return ``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def called(word: str, among: Iterable[Option]) -> list[Option]:
    """Return the options that have this name, here or in other programs."""
    bare = word.strip().lstrip("-").replace("-", "_")
    folded = bare if len(bare) == 1 else bare.casefold()
    return [
        option
        for option in among
        if folded in [option.key, option.name, *option.short[1:], *option.near.split()]
    ]


def nearest(word: str, among: Iterable[Option]) -> list[Option]:
    """Return the options that an unknown name may mean, best first; [] if none is similar.

    A name from another program counts before a name with a similar spelling.
    """
    import difflib  # here, because only errors need it

    options = list(among)
    if exact := called(word, options):
        return exact
    bare = word.strip().lstrip("-").replace("-", "_").casefold()
    names = {name: option for option in options for name in (option.name, option.key)}
    near = {name: option for option in options for name in option.near.split() if len(name) > 2}
    for owners in (names, near):
        if close := difflib.get_close_matches(bare, owners, n=3, cutoff=0.6):
            alike = {each: difflib.SequenceMatcher(None, each, bare).ratio() for each in close}
            close = [each for each in close if alike[each] > alike[close[0]] - _CLEARLY_CLOSER]
            return list(dict.fromkeys(owners[name] for name in close))
    return []
